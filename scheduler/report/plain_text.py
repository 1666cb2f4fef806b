"""Makes text from outside (keys, names, messages) safe to show. The template escapes it for HTML."""

import re
import unicodedata

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_NAME = re.compile(r"pass|secret|token|credential|key|auth", re.IGNORECASE)


def visible(text: str) -> str:
    """The text, with escapes for every control sign and every mark that turns or hides text.

    A lone surrogate, which stands for a byte of a file name that is not UTF-8, is escaped too: with it, the page could
    not be written.
    """
    return "".join(_spelled(letter) for letter in text)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def without_key(sentence: str, key: str) -> str:
    """A sentence without the key at its beginning; unchanged if it does not begin with the key."""
    for start in (key, repr(key)):
        if sentence.startswith((f"{start} ", f"{start}: ")):
            return sentence.removeprefix(start).lstrip(": ")
    return sentence


def without_credentials(text: str) -> str:
    """The text without users and passwords in its addresses."""
    return _CREDENTIALS.sub("", text)


def may_be_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name))


def _spelled(letter: str) -> str:
    if letter in _NAMED:
        return _NAMED[letter]
    category = unicodedata.category(letter)
    if category == "Cs" or letter < " ":
        return f"\\x{ord(letter) & 0xFF:02x}"
    # Joiners are kept, because Persian, Hindi and emoji need them. Every other format sign only hides or turns text.
    if category in ("Cc", "Cf", "Zl", "Zp") and letter not in "\u200c\u200d":
        return f"[U+{ord(letter):04X}]"
    return letter
