"""The options for colours that a job may choose: head, embedding, saturation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from worker.errors import UsageError

HEADS = ("paper", "vivid")
LARGEST_SATURATION = 2.0


@dataclass(frozen=True, slots=True)
class ColourOptions:
    """None means the worker's default.

    The model computes all heads in one pass, so scans of one batch may have different heads.

    Raises UsageError for an invalid value.
    """

    head: str | None = None  # paper or vivid
    embedding: str | None = None  # one of the checkpoint's embeddings, or imagenet
    saturation: float = 1.0  # a factor for a and b: 0 is grey, 1 is what the model predicts; at most 2

    def __post_init__(self) -> None:
        if self.head is not None and self.head not in HEADS:
            raise UsageError(f"the head is {self.head!r}; expected one of {', '.join(HEADS)}")
        if not (math.isfinite(self.saturation) and 0 <= self.saturation <= LARGEST_SATURATION):
            raise UsageError(f"the saturation is {self.saturation:g}; expected 0.0 to {LARGEST_SATURATION:g}")

    @classmethod
    def of_job(cls, options: Mapping[str, Any]) -> Self:
        """The options in a job's row. What is missing there is the worker's default."""
        saturation = options.get("saturation")
        return cls(options.get("head"), options.get("embedding"), 1.0 if saturation is None else float(saturation))

    def as_job_options(self) -> dict[str, Any]:
        """The options for a job's row, without those that have the worker's default."""
        options = {"head": self.head, "embedding": self.embedding}
        chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        return chosen if self.saturation == 1.0 else {**chosen, "saturation": self.saturation}
