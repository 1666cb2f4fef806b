"""Passwords are hashed with argon2id by argon2-cffi, with its recommended parameters."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from worker.errors import UsageError

SHORTEST, LONGEST = 12, 1024
_hasher = PasswordHasher()
# Each check takes 64 MiB, so only a few run at the same time.
_checks = threading.Semaphore(2)


def hash_password(password: str) -> str:
    """The hash of a password. Raises UsageError if the password is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"the password has {len(password)} characters; expected {SHORTEST} to {LONGEST}")
    return _hasher.hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether the password is right. It takes the same time for an account that does not exist or has no password."""
    with _checks:
        try:
            return _hasher.verify(password_hash or _NOBODYS, password[:LONGEST]) and password_hash is not None
        except (Argon2Error, InvalidHashError):
            return False


_NOBODYS = _hasher.hash("nobody has this password")
