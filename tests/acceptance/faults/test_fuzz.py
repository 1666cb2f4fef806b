"""A short form of `make fuzz`: hostile files through a real scheduler and a real worker."""

import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from tests.fuzz.files import Hostile, hostile_files
from tests.fuzz.memory import measured
from tests.fuzz.run import fuzz
from tests.unit.scans.conftest import tiff_bytes


@pytest.mark.timeout(240)
def test_hostile_files_end_with_a_code_and_harm_nobody(tmp_path: Path) -> None:
    with patch.dict(os.environ):
        outcome = fuzz(tmp_path, 250, seed=2, limit_seconds=200)

    assert outcome.faults == []
    assert outcome.ends.total() == 253
    assert {"done", "truncated", "unreadable", "unsupported", "too_large"} <= set(outcome.ends)


def test_a_wide_scan_of_16_bits_takes_little_more_memory_than_its_budget(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 65_535, (300, 100_000), np.uint16)

    [taken] = measured([Hostile("wide", "tif", tiff_bytes(grey))], tmp_path)

    assert (taken.end, taken.above_bytes < 150_000_000) == ("done", True)


def test_a_file_that_claims_another_size_takes_little_more_memory_than_its_budget(tmp_path: Path) -> None:
    """One file is a TIFF of 99 kB with rows of 1,000,000 pixels, which takes a gigabyte and has the budget for it."""
    claiming = [file for file in hostile_files(2_500, seed=18) if file.way == "another size"]

    taken = list(measured(claiming, tmp_path))

    assert max(each.grown_bytes for each in taken) > 100 << 20  # some are large
    assert [each for each in taken if each.above_bytes > 150_000_000] == []
