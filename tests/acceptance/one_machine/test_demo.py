"""`photochrom demo` as a process: the whole main job, with the bundled checkpoint."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

from scheduler.standalone.samples import write_samples
from tests.acceptance.command import clean_environment, photochrom
from tests.acceptance.one_machine.test_run import all_gone, everything_below
from tests.processes import MARK, new_mark, survivors
from tests.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that has run to its end."""
    folder = tmp_path_factory.mktemp("demo")
    mark = new_mark()
    run = photochrom("demo", folder=folder, timeout_seconds=300, **{MARK: mark})
    (folder / "said").write_text(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert survivors(mark) == []
    return folder


def rows(demo: Path) -> list[dict[str, object]]:
    database = f"sqlite:///{demo / 'photochrom-demo' / 'photochrom.db'}"
    listed = photochrom("scans", "1", "--json", folder=demo, PHOTOCHROM_DATABASE_URL=database)
    return list(json.loads(listed.stdout))


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(pyvips.Image.new_from_file(str(path)).numpy())


def test_every_scan_but_the_planted_one_is_done(demo: Path) -> None:
    states = {str(row["source_key"]): (row["state"], row["error_code"]) for row in rows(demo)}
    planted = {sample.key for sample in write_samples(demo / "again") if sample.planted_failure}

    assert len(states) >= 13
    assert {key for key, state in states.items() if state != ("done", None)} == planted
    assert {states[key] for key in planted} == {("failed", "truncated")}


def test_each_output_has_exactly_its_sources_size_and_is_in_colour(demo: Path) -> None:
    for row in rows(demo):
        if row["state"] == "done":
            output = pixels(demo / "photochrom-demo" / "outputs" / str(row["output_key"]))
            source = pixels(demo / "photochrom-demo" / "samples" / "scans" / str(row["source_key"]))
            assert output.shape == (*source.shape[:2], 3)
            assert output.dtype == source.dtype
            spread = output.max(axis=2).astype(int) - output.min(axis=2)
            assert spread.mean() > 1.5 * (1 if output.dtype == np.uint8 else 257), row["output_key"]


def test_it_names_its_folder_the_checkpoint_the_outputs_and_the_report(demo: Path) -> None:
    said = (demo / "said").read_text()

    assert str(demo / "photochrom-demo") in said.replace("\n", "")
    for words in ("Checkpoint", "outputs", "report.html", "before-after.jpg", "dB", "grey baseline"):
        assert words in said
    assert (demo / "photochrom-demo" / "report.html").read_text().startswith("<!doctype html>")


def test_ctrl_c_in_the_middle_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "scheduler", "demo"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
    )
    worker_log = tmp_path / "photochrom-demo" / "logs" / "worker.log"
    wait_until(lambda: worker_log.exists() or process.poll() is not None)
    below = everything_below(process)
    assert len(below) >= 4

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE_SECONDS) != 0
    assert all_gone(below)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photochrom-demo").mkdir()
    (tmp_path / "photochrom-demo" / "thesis.txt").write_text("ten years' work")

    run = photochrom("demo", folder=tmp_path)

    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "photochrom-demo" / "thesis.txt").exists()
