"""A scan is an outlier if its result differs from its neighbours', but not if it has few neighbours."""

import numpy as np

from scheduler.report.collect import MeasurementTable
from scheduler.report.groups import UNLIKE, choose
from scheduler.report.outliers import FAR, ab_distances, distances


def test_one_colourful_scan_among_pale_ones_is_far_from_them() -> None:
    values = [20.0, 21.0, 22.0, 19.0, 20.0, 60.0, 21.0, 20.0]

    assert [value for value, distance in zip(values, distances(values), strict=True) if distance > FAR] == [60.0]


def test_few_neighbours_say_nothing_and_equals_have_no_stranger() -> None:
    assert distances([20.0, 21.0, 90.0]) == [0.0] * 3
    assert distances([20.0] * 10) == [0.0] * 10


def test_one_green_scan_among_brown_ones_is_far_from_them() -> None:
    brown = [(6.0 + number % 3, 14.0 + number % 4) for number in range(40)]

    far = ab_distances([*brown[:20], (-9.0, 12.0), *brown[20:]])

    assert [place for place, distance in enumerate(far) if distance > FAR] == [20]
    assert ab_distances([(6.0, 14.0)] * 6 + [(-9.0, 12.0)]) == [0.0] * 7
    assert max(ab_distances([(6.0, 14.0)] * 9 + [(9.0, 18.0)])) < FAR  # 5 apart: hardly anybody sees that


def test_the_report_shows_the_furthest_first() -> None:
    scans: MeasurementTable = np.zeros(40, dtype=[("id", "i8"), ("colourfulness", "f8"), ("certainty", "f8")])
    scans["id"] = np.arange(40)

    chosen = choose(scans, [7, 9])

    assert [scan_id for scan_id, group in chosen if group == UNLIKE] == [7, 9]
    assert len(chosen) == 24
