"""Limits for the metadata that is read from a file, so that memory stays bounded."""

MAX_TOTAL_BYTES = 16 << 20  # of a scan's unpacked metadata; any more is named as lost
MAX_XMP_BYTES = 512 << 10  # of a packet that is parsed
PARSED_TIMES = 120  # while a packet is parsed, it takes this many times its size in memory
