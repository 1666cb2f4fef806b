"""Sums of work and time over several turns, and the rate of counts that grow in bursts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Sum:
    """The work and the time of one side, added up over its turns."""

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
        """The work for each second of processor time: what one core would do in a second if nothing else used it."""
        return ratio(self.scans, self.cpu_seconds)


@dataclass(slots=True)
class Line:
    """A count at several moments: (seconds of its own time, count)."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def per_second(self) -> float:
        """The slope of the straight line through the points, because outputs come in bursts of a batch."""
        points = np.array(self.points, np.float64).reshape(-1, 2)
        if len(points) < 2 or np.ptp(points[:, 0]) == 0:
            return float("nan")
        return float(np.polyfit(points[:, 0], points[:, 1], 1)[0])


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def middle(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
