"""Thumbnails and tiles of sources and outputs.

A few separate processes with limits make them, and they are kept on disk.

If a file crashes or hangs its decoder, only its picture is missing: the process is killed and started again.
"""
