"""Augmentation on the training device: batches of crops, their looks and their colours, as operations of Keras."""
