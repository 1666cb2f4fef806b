"""PNG: chunks, and the colour space that they name."""
