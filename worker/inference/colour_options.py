"""What a job may choose about its colours: the head, the embedding, the saturation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from worker.errors import UsageError

HEADS = ("paper", "vivid")
LARGEST_SATURATION = 2.0


@dataclass(frozen=True, slots=True)
class ColourOptions:
    """None leaves the choice to the worker. The model computes all heads in one pass, so scans of one batch may differ.

    Raises UsageError for a value that can't be one.
    """

    head: str | None = None  # paper or vivid
    embedding: str | None = None  # one of the checkpoint's embeddings, or imagenet
    saturation: float = 1.0  # a factor of a and b: 0 is grey, 1 is what the model gives, at most 2

    def __post_init__(self) -> None:
        if self.head is not None and self.head not in HEADS:
            raise UsageError(f"the head is {self.head!r}; expected one of {', '.join(HEADS)}")
        if not (math.isfinite(self.saturation) and 0 <= self.saturation <= LARGEST_SATURATION):
            raise UsageError(f"the saturation is {self.saturation:g}; expected 0.0 to {LARGEST_SATURATION:g}")

    @classmethod
    def of_job(cls, options: Mapping[str, Any]) -> Self:
        """From the options in a job's row, in which whatever is missing is left to the worker."""
        saturation = options.get("saturation")
        return cls(options.get("head"), options.get("embedding"), 1.0 if saturation is None else float(saturation))

    def as_job_options(self) -> dict[str, Any]:
        """For a job's row: what differs from the worker's own choice."""
        options = {"head": self.head, "embedding": self.embedding}
        chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        return chosen if self.saturation == 1.0 else {**chosen, "saturation": self.saturation}
