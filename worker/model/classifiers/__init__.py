"""The classifiers: the embeddings that say what a scan shows, and the features that say where."""
