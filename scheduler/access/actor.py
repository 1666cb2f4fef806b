"""Who does something, and how they are signed in."""

from dataclasses import dataclass
from getpass import getuser


@dataclass(frozen=True, slots=True)
class Actor:
    """`via`: local (this machine's user), proxy, session or token."""

    name: str
    via: str = "local"


def local_actor(name: str | None = None) -> Actor:
    """The user of this machine, by `name` or by their user name."""
    try:
        return Actor(name or getuser())
    except (KeyError, OSError):
        return Actor("operator")  # in a container, the user may have no name
