"""The stored form of the secrets that Photochrom makes: tokens and sessions."""

import hashlib


def secret_sha256(secret: str) -> str:
    """The stored form of a secret. It is long and random, so a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
