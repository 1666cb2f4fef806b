"""`photochrom run` as a process: a person's own folder, stopped and killed in the middle, and run again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from sqlalchemy import select

from db.models import Scan, ScanState
from db.session import make_engine, read_scope
from tests.acceptance.command import clean_environment, photochrom

SCAN_COUNT = 60
STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "200", "PHOTOCHROM_CHUNK_SCANS": "16"}


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Sixty small grey scans in nested folders, with a note that is no scan."""
    noise = np.random.default_rng(7)
    folder = tmp_path / "scans"
    for number in range(SCAN_COUNT):
        path = folder / f"box {number % 3}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = noise.integers(0, 256, (6, 8), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (161, 120), interpolation=cv2.INTER_CUBIC))
    (folder / "notes.txt").write_text("no scan")
    return folder


def rows(output: Path) -> list[Scan]:
    with read_scope(make_engine(f"sqlite:///{output / '.photochrom' / 'photochrom.db'}")) as session:
        return list(session.scalars(select(Scan).order_by(Scan.id)))


def done(output: Path) -> dict[str, Scan]:
    return {row.source_key: row for row in rows(output) if row.state == ScanState.DONE}


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to this in time"
        time.sleep(0.1)


def some_done(output: Path) -> bool:
    return (output / ".photochrom" / "photochrom.db").exists() and len(safe_done(output)) >= 8


def safe_done(output: Path) -> dict[str, Scan]:
    try:
        return done(output)
    except Exception:  # not migrated yet
        return {}


@pytest.fixture
def started(collection: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that is under way: some scans are recorded done, most are not."""
    output = tmp_path / "colour"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "scheduler", "run", str(collection), str(output)],
        cwd=tmp_path,
        env=clean_environment(**STAND_IN, PHOTOCHROM_RECORD_SECONDS="0.5"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: some_done(output) or process.poll() is not None)
    yield process
    process.kill()
    process.communicate()


def everything_below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    below: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return below


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    [worker] = [each for each in everything_below(process) if each.cmdline()[-2:] == ["-m", "worker"]]
    return worker


def written_at(output: Path, keys: dict[str, Scan]) -> dict[str, int]:
    return {key: (output / row.output_key).stat().st_mtime_ns for key, row in keys.items()}


def test_a_folder_is_colourized_into_another_and_a_second_run_finds_nothing_to_do(
    collection: Path, tmp_path: Path
) -> None:
    first = photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)
    assert first.returncode == 0, first.stdout + first.stderr
    written = written_at(tmp_path / "colour", done(tmp_path / "colour"))

    second = photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)

    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing to do" in second.stdout
    assert len(written) == SCAN_COUNT
    assert written_at(tmp_path / "colour", done(tmp_path / "colour")) == written


def test_a_new_scan_alone_is_done_by_the_next_run(collection: Path, tmp_path: Path) -> None:
    for number in range(1, SCAN_COUNT):
        (collection / f"box {number % 3}" / f"{number:04}.png").unlink()
    photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)
    (collection / "new.png").write_bytes((collection / "box 0" / "0000.png").read_bytes())

    photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)

    assert [(row.job_id, row.source_key) for row in rows(tmp_path / "colour")] == [
        (1, "box 0/0000.png"),
        (2, "new.png"),
    ]


def test_a_bad_scan_is_named_and_the_exit_status_says_so(collection: Path, tmp_path: Path) -> None:
    (collection / "box 1" / "0001.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")

    run = photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)

    assert run.returncode == 1
    assert "box 1/0001.png" in run.stdout
    assert len(done(tmp_path / "colour")) == SCAN_COUNT - 1


def test_ctrl_c_leaves_no_process_and_the_next_run_does_the_rest(
    started: subprocess.Popen[str], collection: Path, tmp_path: Path
) -> None:
    below = everything_below(started)
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    assert all_gone(below)
    assert (started.returncode, errors) == (130, "photochrom: stopped\n")
    before = done(tmp_path / "colour")
    written = written_at(tmp_path / "colour", before)
    assert 0 < len(before) < SCAN_COUNT

    again = photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)

    assert again.returncode == 0, again.stdout + again.stderr
    assert len(done(tmp_path / "colour")) == SCAN_COUNT
    assert written_at(tmp_path / "colour", before) == written


def test_after_kill_9_of_the_run_nothing_is_left_running_and_the_next_run_does_the_rest(
    started: subprocess.Popen[str], collection: Path, tmp_path: Path
) -> None:
    below = everything_below(started)
    started.kill()
    started.communicate(timeout=60)
    wait_until(lambda: all_gone(below))
    before = done(tmp_path / "colour")
    written = written_at(tmp_path / "colour", before)

    again = photochrom("run", collection, "colour", folder=tmp_path, timeout_seconds=120, **STAND_IN)

    assert again.returncode == 0, again.stdout + again.stderr
    assert len(done(tmp_path / "colour")) == SCAN_COUNT
    assert written_at(tmp_path / "colour", before) == written


def test_a_killed_worker_loses_no_scan(started: subprocess.Popen[str], collection: Path, tmp_path: Path) -> None:
    before = done(tmp_path / "colour")
    written = written_at(tmp_path / "colour", before)
    worker_of(started).kill()

    output, errors = started.communicate(timeout=120)

    assert started.returncode == 0, output + errors
    assert len(done(tmp_path / "colour")) == SCAN_COUNT
    assert written_at(tmp_path / "colour", before) == written


def test_two_runs_into_one_folder_are_refused(started: subprocess.Popen[str], collection: Path, tmp_path: Path) -> None:
    second = photochrom("run", collection, "colour", folder=tmp_path)

    assert second.returncode == 2
    assert "another photochrom" in second.stderr


def test_a_mistyped_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    run = photochrom("run", "nowhere", "colour", folder=tmp_path)

    assert run.returncode == 2
    assert "nowhere" in run.stderr
    assert list(tmp_path.iterdir()) == []
