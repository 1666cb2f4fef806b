"""JPEG: segments, and the colour space that EXIF names."""
