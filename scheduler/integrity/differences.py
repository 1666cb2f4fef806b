"""What `photochrom verify` found, in words, and what a person can do about it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from scheduler.text import counted


@dataclass(frozen=True, slots=True)
class Difference:
    """`side` is source, output or bag (its own files).

    `what` is changed, missing, extra, unreadable, or forged: its content credentials don't fit it.
    """

    side: str
    what: str
    key: str
    detail: str = ""


@dataclass(slots=True)
class Verified:
    """What was read, and all that was not as the rows say. `remade`: outputs that are a later job's, and not read."""

    sources: int = 0
    outputs: int = 0
    bytes: int = 0
    remade: int = 0
    signed: int = 0  # outputs with content credentials that are valid
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "Verified") -> None:
        self.sources += other.sources
        self.outputs += other.outputs
        self.bytes += other.bytes
        self.signed += other.signed
        self.differences += other.differences

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        read = f"{counted(self.sources, 'source')} and {counted(self.outputs, 'output')} read again"
        read += f", {self.bytes / 1e6:.1f} MB"
        if self.signed:
            read += f", {self.signed:,} with valid content credentials"
        if self.remade:
            read += f" ({self.remade:,} more made anew by a later job: verify that one)"
        if not self.differences:
            return f"{read}: each is as recorded, and nothing else is there"
        counts = ", ".join(
            f"{sum(difference.what == what for difference in self.differences)} {what}"
            for what in ("changed", "missing", "extra", "unreadable", "forged")
            if any(difference.what == what for difference in self.differences)
        )
        return f"{read}: {counts}"
