"""Limits people to the prefixes of their account."""

from collections.abc import Sequence

from scheduler.web.auth.identity import Identity
from scheduler.web.errors import Forbidden
from worker.storage import parse_location


def expect_within(identity: Identity, *places: str | None) -> None:
    """Raises Forbidden for a place outside the prefixes, and UsageError for an invalid place. None is ignored."""
    if identity.prefixes is None:
        return
    for place in filter(None, places):
        if not _is_within(parse_location(place).uri, identity.prefixes):
            raise Forbidden(
                f"{place} is outside the prefixes that {identity.name} may use: {', '.join(identity.prefixes)}"
            )


def _is_within(uri: str, prefixes: Sequence[str]) -> bool:
    ends = [prefix.rstrip("/") for prefix in prefixes]
    return any(uri == end or uri.startswith(f"{end}/") for end in ends)
