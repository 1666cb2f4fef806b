"""Scans: their records, what a lease allows a worker to write, which ones a person should look at first."""
