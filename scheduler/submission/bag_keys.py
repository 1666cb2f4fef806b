"""Which keys a bag can hold."""

from worker.errors import UsageError

PAYLOAD = "data/"


def check_key(key: str) -> None:
    """Raises UsageError for a key that BagIt's programs read in different ways.

    RFC 8493 escapes %, CR and LF, but the most used library does not decode them. This library also ends a manifest's
    line at every Unicode line break (such as U+2028), and drops spaces at the end.
    """
    if "%" in key or key.splitlines() != [key] or key != key.rstrip():
        sentence = f"--bag: the key {key!r} holds a %, ends a line or ends in a space"
        raise UsageError(f"{sentence}; rename it, or leave it out with --exclude")
