"""Keras' backends: how they are loaded and chosen, and the code for each one. Importing this package loads nothing."""
