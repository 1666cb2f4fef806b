"""The Unicode forms of a key.

macOS stores an umlaut as two characters (NFD), most other systems and lists as one (NFC).

A key counts as the store spells it. The store may hold two files whose names differ in their form alone, so names are
not simply compared in one form: the store is asked.
"""

from itertools import islice, product
from unicodedata import normalize

_MOST_SPELLINGS = 16  # of a key whose folders and file have different forms


def spellings(key: str) -> list[str]:
    """`key`, and then the same text in other forms, the likely ones first. Most keys have one form alone."""
    if key.isascii():
        return [key]
    parts = [dict.fromkeys((part, normalize("NFC", part), normalize("NFD", part))) for part in key.split("/")]
    mixed = islice(map("/".join, product(*parts)), _MOST_SPELLINGS)
    return list(dict.fromkeys((key, normalize("NFC", key), normalize("NFD", key), *mixed)))


def in_one_form(text: str) -> str:
    """The text in NFC, in which patterns and keys are compared."""
    return normalize("NFC", text)
