"""The results of `photochrom verify`, as values and sentences."""

from dataclasses import asdict, dataclass, field
from typing import Any

from scheduler.text import counted

KINDS = ("changed", "missing", "extra", "unreadable", "forged", "replaced")


@dataclass(frozen=True, slots=True)
class Difference:
    """`side` is source, output or bag (its own files).

    `what` is changed, missing, extra, unreadable, forged (its content credentials don't fit it), or replaced (another
    source's output is there).
    """

    side: str
    what: str
    key: str
    detail: str = ""


@dataclass(slots=True)
class Verified:
    """What was read, and every difference from the rows. `remade`: by job, outputs that a later job made again."""

    sources: int = 0
    outputs: int = 0
    bytes: int = 0
    remade: dict[int, int] = field(default_factory=dict)
    signed: int = 0  # outputs with content credentials that are valid
    expired: int = 0  # outputs with content credentials that fit, but their certificate has expired since
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "Verified") -> None:
        self.sources += other.sources
        self.outputs += other.outputs
        self.bytes += other.bytes
        self.signed += other.signed
        self.expired += other.expired
        self.differences += other.differences

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        read = f"{counted(self.sources, 'source')} and {counted(self.outputs, 'output')} read again"
        read += f", {self.bytes / 1e6:.1f} MB"
        if self.signed:
            read += f", {self.signed:,} with valid content credentials"
        if self.expired:
            read += f", {self.expired:,} with content credentials whose certificate has expired"
        if self.remade:
            jobs = ", ".join(f"{count:,} by job {job}" for job, count in sorted(self.remade.items()))
            read += f" (some were made again, {jobs}, and compared with its rows)"
        if not self.differences:
            return f"{read}: each is as recorded, and nothing else is there"
        counts = ", ".join(
            f"{sum(difference.what == what for difference in self.differences)} {what}"
            for what in KINDS
            if any(difference.what == what for difference in self.differences)
        )
        return f"{read}: {counts}"
