"""Thumbnails and tiles of sources and outputs, made by a few processes of their own with limits, and kept on disk.

A file that crashes or hangs its decoder costs one picture: its process is killed and started again.
"""
