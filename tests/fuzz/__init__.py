"""Hostile files through a real scheduler and a real worker: `make fuzz`."""
