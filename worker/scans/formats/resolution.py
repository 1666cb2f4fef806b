"""Resolutions that every format's metadata shares."""

UNKNOWN_RESOLUTION = (1.0, 1.0)  # pixels per millimetre, as libvips gives it


MOST_PER_MILLIMETRE = 100_000.0  # beyond it, a resolution is damage, and libvips takes none beyond ten times that
