"""Measures networks: figures, contact sheets, loss curves."""
