"""A whole system on one machine: `photochrom run` and `photochrom demo`."""
