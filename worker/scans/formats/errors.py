"""Errors about a file with our own messages.

libvips' messages are not used, because all threads share its error buffer.
"""


class FormatError(ValueError):
    """The file breaks a rule of its format; the message names the fault."""


class EndsEarly(FormatError):
    """The file ends before the byte `end`, up to which its structure says that it has data."""

    def __init__(self, end: int) -> None:
        super().__init__(f"it ends before byte {end:,}")
        self.end = end


class UnsupportedKind(FormatError):
    """The file is valid, but of a kind that is not supported; the message names the kind."""


class LibraryError(FormatError):
    """A decoder failed; the message is the decoder's own."""
