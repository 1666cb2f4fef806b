"""Photos, crops, embeddings and targets."""
