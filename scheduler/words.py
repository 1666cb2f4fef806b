"""Numbers with their nouns, as people say them."""


def counted(count: int, noun: str) -> str:
    """`1 scan`, `2 scans`, `12,345 scans`; the noun's plural must be its singular and an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
