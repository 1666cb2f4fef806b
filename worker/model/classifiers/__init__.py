"""The classifiers: embeddings describe what a scan shows, and features describe each place of it."""
