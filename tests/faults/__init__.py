"""Faults: real processes and real services are broken on purpose, and the results compared with the expected ones."""
