"""A short form of `make fuzz`: hostile files through a real scheduler and a real worker."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.fuzz.run import fuzz


@pytest.mark.timeout(240)
def test_hostile_files_end_with_a_code_and_harm_nobody(tmp_path: Path) -> None:
    with patch.dict(os.environ):
        outcome = fuzz(tmp_path, 250, seed=2, limit_seconds=200)

    assert outcome.faults == []
    assert outcome.ends.total() == 253
    assert {"done", "truncated", "unreadable", "unsupported", "too_large"} <= set(outcome.ends)
