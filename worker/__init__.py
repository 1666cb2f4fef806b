"""The GPU pool: Celery children that carry scans, and the model server that colours them."""
