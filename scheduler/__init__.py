"""Jobs in, chunks out, reports: everything that runs beside the GPU pool. Never loads TensorFlow."""
