"""JPEG 2000: boxes, codestream, reading and writing by tiles."""
