"""`photochrom run` as a process: a person's own folder, stopped and killed in the middle, and run again."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from sqlalchemy import select

from db.models.jobs import Scan, ScanState
from db.session import make_engine, read_scope
from tests.acceptance.command import clean_environment, photochrom
from tests.waiting import PATIENCE_SECONDS, wait_until

SCAN_COUNT = 160
STAND_IN = {
    "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "200",
    "PHOTOCHROM_BATCH_SIZE": "4",
    "PHOTOCHROM_CHUNK_SCANS": "16",
    "PHOTOCHROM_RECORD_SECONDS": "0.5",
}


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Small grey scans in nested folders, with a note that is no scan."""
    folder = tmp_path / "scans"
    for number in range(SCAN_COUNT):
        write_scan(folder / f"box {number % 3}" / f"{number:04}.png", number)
    (folder / "notes.txt").write_text("no scan")
    return folder


def write_scan(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(number).integers(0, 256, (6, 8), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (161, 120), interpolation=cv2.INTER_CUBIC))


def rows(output: Path) -> list[Scan]:
    with read_scope(make_engine(f"sqlite:///{output / '.photochrom' / 'photochrom.db'}")) as session:
        return list(session.scalars(select(Scan).order_by(Scan.id)))


def done(output: Path) -> dict[str, Scan]:
    return {row.source_key: row for row in rows(output) if row.state == ScanState.DONE}


def count_done(output: Path) -> int:
    try:
        return len(done(output)) if (output / ".photochrom" / "photochrom.db").exists() else 0
    except Exception:  # not migrated yet
        return 0


@pytest.fixture
def start(collection: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a run, and returns it when it has recorded some scans as done and most are still pending."""
    output = tmp_path / "colour"
    with ExitStack() as started:

        def start() -> subprocess.Popen[str]:
            before = count_done(output)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler", "run", str(collection), str(output)],
                cwd=tmp_path,
                # This is slow enough that most scans are still pending when the run is stopped.
                env=clean_environment(**STAND_IN | {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "600"}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.callback(process.communicate)
            started.callback(process.kill)
            wait_until(lambda: count_done(output) >= before + 4 or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            return process

        yield start


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


def test_a_folder_is_colourized_into_another_and_later_runs_do_what_failed_or_is_new(
    collection: Path, tmp_path: Path
) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return photochrom("run", collection, "colour", folder=tmp_path, **STAND_IN)

    output, bad = tmp_path / "colour", collection / "box 1" / "0001.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    first = run()
    assert first.returncode == 1, first.stdout + first.stderr
    assert "box 1/0001.png" in first.stdout
    assert "1 other file passed over (1 .txt)" in first.stdout
    before = done(output)
    written = written_at(output, before)
    assert len(before) == SCAN_COUNT - 1

    unchanged = run()
    assert unchanged.returncode == 1, unchanged.stdout + unchanged.stderr
    assert "1 scan was found damaged before, unchanged, and left out" in unchanged.stdout
    assert "Nothing to do" in unchanged.stdout
    assert len(rows(output)) == SCAN_COUNT

    write_scan(bad, 1)
    write_scan(collection / "new.png", SCAN_COUNT)
    second = run()
    assert second.returncode == 0, second.stdout + second.stderr
    assert [row.source_key for row in rows(output) if row.job_id == 2] == ["box 1/0001.png", "new.png"]
    assert written_at(output, before) == written

    written = written_at(output, done(output))
    third = run()
    assert third.returncode == 0, third.stdout + third.stderr
    assert "Nothing to do" in third.stdout
    assert len(written) == SCAN_COUNT + 1
    assert written_at(output, done(output)) == written


def test_a_run_that_is_stopped_then_killed_and_then_loses_its_worker_loses_no_scan_and_does_none_twice(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    output = tmp_path / "colour"
    kept: dict[str, int] = {}

    def nothing_written_again() -> None:
        recorded = done(output)
        written = written_at(output, recorded)
        assert written.items() >= kept.items()
        assert len(kept) < len(recorded), "it did nothing"
        kept.update(written)

    stopped = start()
    a_second_one_is_refused(tmp_path)
    below = everything_below(stopped)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=PATIENCE_SECONDS)
    assert all_gone(below)
    assert stopped.returncode == 130
    nothing_written_again()
    said = f"photochrom: stopped; {len(kept)} of {SCAN_COUNT} scans are done; run the same command again to continue\n"
    assert errors == said

    killed = start()
    below = everything_below(killed)
    killed.kill()
    killed.communicate(timeout=PATIENCE_SECONDS)
    wait_until(lambda: all_gone(below))
    nothing_written_again()

    loses_its_worker = start()
    nothing_written_again()
    assert len(kept) < SCAN_COUNT
    worker_of(loses_its_worker).kill()
    said, errors = loses_its_worker.communicate(timeout=PATIENCE_SECONDS)
    assert loses_its_worker.returncode == 0, said + errors
    nothing_written_again()
    assert len(kept) == SCAN_COUNT


def a_second_one_is_refused(folder: Path) -> None:
    second = photochrom("run", folder / "scans", "colour", folder=folder, **STAND_IN)

    assert second.returncode == 2
    assert "another photochrom" in second.stderr


def test_a_mistyped_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    run = photochrom("run", "nowhere", "colour", folder=tmp_path)

    assert run.returncode == 2
    assert "nowhere" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_finishes_what_was_redone_or_retried(collection: Path, tmp_path: Path) -> None:
    def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
        url = f"sqlite:///{tmp_path}/colour/.photochrom/photochrom.db"
        settings = {**STAND_IN, **({} if words[0] == "run" else {"PHOTOCHROM_DATABASE_URL": url})}
        return photochrom(*words, folder=tmp_path, **settings)

    output, bad = tmp_path / "colour", collection / "box 1" / "0001.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:60])
    assert command("run", collection, "colour").returncode == 1
    bad.write_bytes(whole)
    assert command("retry", "1").returncode == 0
    assert command("review", "1", "redo", "box 2/0002.png", "--saturation", "0.5").returncode == 0

    finished = command("run", collection, "colour")

    states = json.loads(command("status", "--json").stdout)
    assert [job["state"] for job in states[-2:]] == ["completed", "completed"], finished.stdout
    assert "job 1 was submitted before, and is finished first" in finished.stdout
    assert [row.saturation for row in rows(output) if row.job_id == 2] == [0.5]


def test_a_sample_is_coloured_then_tried_in_another_way_then_everything_with_the_choice(
    collection: Path, tmp_path: Path
) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        stand_in = {**STAND_IN, "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "20"}
        return photochrom("run", collection, "colour", *options, folder=tmp_path, **stand_in)

    output = tmp_path / "colour"
    first = run("--sample", "2", "--saturations", "0.5,1.2")
    assert first.returncode == 0, first.stdout + first.stderr
    assert (output / "photochrom-sample-1.html").exists()
    again = run("--sample", "2", "--saturations", "0.8")
    assert again.returncode == 0, again.stdout + again.stderr

    chosen = run("--saturation", "0.8")

    assert chosen.returncode == 0, chosen.stdout + chosen.stderr
    last = [row for row in rows(output) if row.job_id == 6]
    assert len(last) == SCAN_COUNT
    assert {(row.state, row.saturation) for row in last} == {(ScanState.DONE, 0.8)}
    assert all((output / row.output_key).exists() for row in last)
