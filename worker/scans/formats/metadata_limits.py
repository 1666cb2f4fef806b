"""How much of what a file says beside its pixels is read at all: memory stays bounded whatever a file holds."""

MAX_TOTAL_BYTES = 16 << 20  # of a scan's metadata, unpacked; what exceeds it is named as lost
MAX_XMP_BYTES = 512 << 10  # of a packet that is parsed
PARSED_TIMES = 120  # what a packet takes in memory while it is parsed, of its own bytes
