"""A scan that comes out unlike its neighbours stands out; one among few, or among others like it, does not."""

import numpy as np

from scheduler.report.collect import Measured
from scheduler.report.groups import UNLIKE, choose
from scheduler.report.outliers import distances, unlike_their_folder


def rows(folder: str, values: list[float], first: int = 0) -> list[tuple[str, int, float]]:
    return [(f"{folder}/{number:03}.jpg", first + number, value) for number, value in enumerate(values)]


def test_one_colourful_scan_among_pale_ones_is_unlike_its_folder() -> None:
    listed = rows("a", [20.0, 21.0, 22.0, 19.0, 20.0, 60.0, 21.0, 20.0]) + rows("b", [60.0] * 9, first=100)

    [(scan_id, distance)] = unlike_their_folder(listed)

    assert (scan_id, distance > 3.5) == (5, True)


def test_few_neighbours_say_nothing_and_equals_have_no_stranger() -> None:
    assert list(unlike_their_folder(rows("a", [20.0, 21.0, 90.0]))) == []
    assert distances([20.0] * 10) == [0.0] * 10


def test_the_report_shows_the_furthest_first() -> None:
    scans: Measured = np.zeros(40, dtype=[("id", "i8"), ("colourfulness", "f8"), ("certainty", "f8")])
    scans["id"] = np.arange(40)

    chosen = choose(scans, [7, 9])

    assert [scan_id for scan_id, group in chosen if group == UNLIKE] == [7, 9]
    assert len(chosen) == 24
