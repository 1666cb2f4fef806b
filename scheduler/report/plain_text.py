"""Text from outside (keys, names, messages), made fit to be shown. Escaping for HTML is the template's work."""

import re
import unicodedata

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_NAME = re.compile(r"pass|secret|token|credential|key|auth", re.IGNORECASE)


def visible(text: str) -> str:
    """The text with every control sign, and every mark that turns or hides text, spelled out; the rest stays.

    A lone surrogate (a byte of a file name that is no UTF-8) would keep the page from being written at all.
    """
    return "".join(_spelled(letter) for letter in text)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def without_key(sentence: str, key: str) -> str:
    """What a sentence says of the key that it begins with; as it stands where it begins otherwise."""
    for start in (key, repr(key)):
        if sentence.startswith((f"{start} ", f"{start}: ")):
            return sentence.removeprefix(start).lstrip(": ")
    return sentence


def without_credentials(text: str) -> str:
    """The text with user and password cut out of any address in it."""
    return _CREDENTIALS.sub("", text)


def may_be_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name))


def _spelled(letter: str) -> str:
    if letter in _NAMED:
        return _NAMED[letter]
    category = unicodedata.category(letter)
    if category == "Cs" or letter < " ":
        return f"\\x{ord(letter) & 0xFF:02x}"
    # Joiners shape letters in Persian, Hindi and emoji; every other format sign only hides or turns text.
    if category in ("Cc", "Cf", "Zl", "Zp") and letter not in "\u200c\u200d":
        return f"[U+{ord(letter):04X}]"
    return letter
