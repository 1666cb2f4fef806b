"""Reads a scan's file and makes the model's input."""
