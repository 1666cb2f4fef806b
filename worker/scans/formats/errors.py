"""Errors about a file with our own messages.

libvips' messages are not used, because all threads share its error buffer.
"""


class FormatError(ValueError):
    """The file breaks the rules of its format; the message says how."""


class EndsEarly(FormatError):
    """The file ends before the byte `end`, which its structure names."""

    def __init__(self, end: int) -> None:
        super().__init__(f"it ends before byte {end:,}")
        self.end = end


class UnsupportedKind(FormatError):
    """The file is valid, but of a kind that is not supported; the message names the kind."""


class LibraryError(FormatError):
    """A decoder failed; the message is the decoder's own."""
