"""`photochrom bench` with tiny sizes: what it prints, never how fast anything is."""

import json
import math
from pathlib import Path

from tests.acceptance.command import photochrom

TINY = ["--megapixels", "0.03", "--turn-seconds", "0.2", "--host-scans", "80", "--memory-scans", "40"]
TINY += ["--large-megapixels", "0.1", "--tiff-megapixels", "0.1", "--chunks", "6", "--folder", "work"]


def test_a_pool_is_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()

    parts = ("host", "boundaries", "memory", "tiff")
    run = photochrom("bench", *parts, "--json", *TINY, folder=tmp_path, timeout_seconds=240, PHOTOCHROM_CHUNK_SCANS="8")

    assert run.returncode in (0, 1), run.stderr
    said = json.loads(run.stdout)
    assert [figure["part"] for figure in said["figures"]] == ["host"] * 4 + ["boundaries"] * 2 + ["memory"] * 2 + [
        "tiff"
    ] * 3
    *fed, idle, filled, grown, large, deflate, lzw, none = (figure["value"] for figure in said["figures"])
    assert all(0 < value < math.inf for value in fed)
    assert 0 <= idle < 1
    assert 0 < filled <= 1
    assert -1 < grown < math.inf  # memory may fall, but not to nothing
    assert 0 <= large < math.inf
    assert all(0 < value < math.inf for value in (deflate, lzw, none))
    assert said["machine"]["cores"] > 0
    assert list((tmp_path / "work").iterdir()) == []


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    run = photochrom("bench", "model", "--batch-sizes", "1,x", folder=tmp_path)

    assert (run.returncode, run.stdout) == (2, "")
    expected = "expected numbers from 1 to 4,096, separated by commas, such as 1,2,4,8"
    assert run.stderr == f"photochrom: --batch-sizes 1,x: {expected}\n"
