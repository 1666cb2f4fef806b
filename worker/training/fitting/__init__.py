"""The training loops, and what they begin with."""
