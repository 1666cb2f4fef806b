"""A file of the table of variants."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Variant:
    """A file and what must come of it: its grey levels within some tolerance, or a code."""

    name: str
    data: bytes
    grey: NDArray[Any] | None = None
    within: int = 0  # levels
    code: str | None = None
