"""Sums of work and time over turns, and the pace of what comes in bursts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Sum:
    """Work done in the turns of one side."""

    scans: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, turn: Mapping[str, float]) -> None:
        self.scans += turn.get("scans", 0.0) + turn.get("gflop", 0.0)
        self.seconds += turn["seconds"]
        self.cpu_seconds += turn.get("cpu_seconds", 0.0)

    @property
    def per_second(self) -> float:
        return ratio(self.scans, self.seconds)

    @property
    def per_cpu_second(self) -> float:
        """What a core would do that nobody else wants."""
        return ratio(self.scans, self.cpu_seconds)


@dataclass(slots=True)
class Line:
    """A count that was looked at again and again: (seconds of its own time, count)."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def per_second(self) -> float:
        """The slope of the straight line through the points: outputs come in bursts of a batch."""
        points = np.array(self.points, np.float64).reshape(-1, 2)
        if len(points) < 2 or np.ptp(points[:, 0]) == 0:
            return float("nan")
        return float(np.polyfit(points[:, 0], points[:, 1], 1)[0])


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def middle(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
