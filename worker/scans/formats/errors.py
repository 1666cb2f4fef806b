"""What is wrong with a file, in words of our own: libvips' error buffer is shared by all threads, so it is never used
for these."""


class FormatError(ValueError):
    """The file is not as its format wants it; the message says in which way."""


class EndsEarly(FormatError):
    """The file ends before the byte `end` that it speaks of."""

    def __init__(self, end: int) -> None:
        super().__init__(f"it ends before byte {end:,}")
        self.end = end


class UnsupportedKind(FormatError):
    """The file is sound, but of a kind that is not read here; the message says of which kind."""


class LibraryError(FormatError):
    """A decoder failed; the message is the decoder's own."""
