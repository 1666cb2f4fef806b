"""Scans in an S3 bucket."""
