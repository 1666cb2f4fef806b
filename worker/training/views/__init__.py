"""Whole photos as the map is trained on them: letterboxed, aged, their ImageNet features computed once."""
