"""Thumbnails of scans and outputs, made in a process with limits."""
