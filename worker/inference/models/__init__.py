"""The models of the model server: the fusion model, or a stub for tests and benches."""
