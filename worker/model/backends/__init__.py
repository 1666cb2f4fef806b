"""Keras' backends: loaded, chosen, and what is each one's own. Nothing is loaded by importing this."""
