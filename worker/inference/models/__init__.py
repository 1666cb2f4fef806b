"""What the model server computes with: the fusion model, or a stub of it for tests and benches."""
