"""Whole photos for training the map: letterboxed, aged, with ImageNet features that are computed once."""
