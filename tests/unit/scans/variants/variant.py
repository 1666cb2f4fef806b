"""A file of the table of variants."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Variant:
    """A file and its expected result: its grey levels within some tolerance, or an error code."""

    name: str
    data: bytes
    grey: NDArray[Any] | None = None
    within: int = 0  # levels
    code: str | None = None
