"""`photochrom bench` with tiny sizes: what it prints, never how fast anything is."""

import json
from pathlib import Path

from tests.acceptance.command import photochrom

TINY = ["--megapixels", "0.03", "--turn-seconds", "0.2", "--host-scans", "80", "--memory-scans", "40"]
TINY += ["--large-megapixels", "0.1", "--chunks", "6", "--folder", "work"]


def test_a_pool_is_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()

    parts = ("host", "boundaries", "memory")
    run = photochrom("bench", *parts, "--json", *TINY, folder=tmp_path, timeout_seconds=240, PHOTOCHROM_CHUNK_SCANS="8")

    assert run.returncode in (0, 1), run.stderr
    said = json.loads(run.stdout)
    assert [figure["part"] for figure in said["figures"]] == ["host"] * 3 + ["boundaries"] * 2 + ["memory"] * 2
    assert all(figure["value"] > -1 for figure in said["figures"])
    assert said["machine"]["cores"] > 0
    assert list((tmp_path / "work").iterdir()) == []


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    run = photochrom("bench", "model", "--batch-sizes", "1,x", folder=tmp_path)

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "photochrom: --batch-sizes 1,x: expected numbers from 1 on, such as 1,2,4,8\n"
