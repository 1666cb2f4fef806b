"""Where a page of a list begins: after or before one row, which is named by its id and the value that the list is
sorted by.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from db.errors import UsageError

_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The row at which a page begins. `value` is None in lists that are sorted only by id, and for a row without a
    value.

    `backwards`: the page ends before that row.
    """

    value: str | float | None
    id: int
    backwards: bool = False

    def __str__(self) -> str:
        """The cursor as text for addresses: only letters, digits, - and _."""
        packed = json.dumps([self.value, self.id, int(self.backwards)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def parse_cursor(text: str | None, value_type: type, *, may_lack_value: bool = False) -> Cursor | None:
    """The cursor, or None for no text. `may_lack_value`: the list has rows without a value.

    Raises UsageError for a text that no page gave, or that a page of another list gave.
    """
    if not text:
        return None
    try:
        if len(text) > _LONGEST:
            raise ValueError
        value, row_id, backwards = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not (value is None and may_lack_value):
            value = _value(value, value_type)
        return Cursor(value, _row_id(row_id), bool(backwards))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise UsageError("this cursor is not one of this list's; begin at its first page, without a cursor") from None


def _value(value: Any, value_type: type) -> Any:
    if value_type is int:
        return _row_id(value)
    if value_type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (value is None) != (value_type is type(None)) or not isinstance(value, value_type):
        raise ValueError
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError
    return value


def _row_id(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value
