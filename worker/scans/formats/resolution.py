"""Resolutions that every format's metadata shares."""

UNKNOWN_RESOLUTION = (1.0, 1.0)  # pixels per millimetre, as libvips gives it


MOST_PER_MILLIMETRE = 100_000.0  # a higher one is damage; libvips accepts none above ten times this
