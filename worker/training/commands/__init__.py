"""The commands of `photochrom train`, `evaluate` and `python -m worker.training`."""
