"""Faults: real processes against real services, broken on purpose, and compared with what must come out."""
