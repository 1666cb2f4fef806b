"""Scans in a folder."""
