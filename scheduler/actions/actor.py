"""Who does something, and through what."""

from dataclasses import dataclass
from getpass import getuser


@dataclass(frozen=True, slots=True)
class Actor:
    """`via`: local (this machine's user), proxy, session or token."""

    name: str
    via: str = "local"


def local_actor(name: str | None = None) -> Actor:
    """The user of this machine, or the name that they give themselves."""
    try:
        return Actor(name or getuser())
    except (KeyError, OSError):
        return Actor("operator")  # a container may run as a user that has no name
