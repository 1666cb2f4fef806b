"""A scan is an outlier if its result differs from its neighbours', but not if it has few neighbours."""

import numpy as np

from scheduler.report.collect import MeasurementTable
from scheduler.report.groups import UNLIKE, choose
from scheduler.report.outliers import FAR, distances


def test_one_colourful_scan_among_pale_ones_is_far_from_them() -> None:
    values = [20.0, 21.0, 22.0, 19.0, 20.0, 60.0, 21.0, 20.0]

    assert [value for value, distance in zip(values, distances(values), strict=True) if distance > FAR] == [60.0]


def test_few_neighbours_say_nothing_and_equals_have_no_stranger() -> None:
    assert distances([20.0, 21.0, 90.0]) == [0.0] * 3
    assert distances([20.0] * 10) == [0.0] * 10


def test_the_report_shows_the_furthest_first() -> None:
    scans: MeasurementTable = np.zeros(40, dtype=[("id", "i8"), ("colourfulness", "f8"), ("certainty", "f8")])
    scans["id"] = np.arange(40)

    chosen = choose(scans, [7, 9])

    assert [scan_id for scan_id, group in chosen if group == UNLIKE] == [7, 9]
    assert len(chosen) == 24
