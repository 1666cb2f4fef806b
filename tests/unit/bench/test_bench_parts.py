import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from scheduler.bench.figures import Figure, figures_table
from scheduler.bench.pool import Outputs
from scheduler.bench.process_tree import ProcessTree
from scheduler.bench.rates import Line, Sum
from scheduler.bench.run import run
from scheduler.bench.sample_scans import make_scans, make_tiff
from scheduler.bench.sizes import Sizes
from tests.waiting import wait_until
from worker.bench.short_way import coloured, lab_of, square_of
from worker.errors import ServiceUnavailable, UsageError
from worker.extras import is_installed
from worker.settings.settings import Settings


def test_a_figure_holds_on_the_right_side_of_its_limit() -> None:
    high, low = Figure("p", "n", 0.9, must=0.8, aim=0.95), Figure("p", "n", 0.06, "%", must=0.05, lower_is_better=True)

    assert [high.holds(high.must), high.holds(high.aim)] == [True, False]
    assert [low.holds(low.must), low.holds(None)] == [False, True]
    assert figures_table([high, low]).row_count == 2


def test_the_pace_of_bursts_is_the_slope_through_them() -> None:
    line = Line([(second / 10, 8.0 * (second // 20)) for second in range(400)])  # 8 outputs each two seconds

    assert line.per_second() == pytest.approx(4.0, rel=0.02)


def test_outputs_made_between_two_turns_are_not_counted(tmp_path: Path) -> None:
    line, outputs = Line(), Outputs(tmp_path, 4, lambda: None)
    outputs.follow(line, 0.01)
    for number in range(4):
        (tmp_path / f"{number}").touch()
    outputs.follow(line, 0.01)

    assert {count for _, count in line.points} == {0}


def test_turns_add_up() -> None:
    both = Sum()
    for seconds in (1.0, 3.0):
        both.add({"scans": 8, "seconds": seconds, "cpu_seconds": 1.0})

    assert (both.per_second, both.per_cpu_second) == (4.0, 8.0)


def test_scans_have_the_size_asked_for_and_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = (make_scans(tmp_path / name, 2, 0.03) for name in "ab")
    tiff = cv2.imread(str(make_tiff(tmp_path / "large.tif", 0.03)), cv2.IMREAD_UNCHANGED)

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert tiff is not None
    assert (tiff.dtype, tiff.shape) == ("uint16", (150, 200))


def test_composing_is_measured_beside_encoding(tmp_path: Path) -> None:
    sizes = Sizes(megapixels=0.02, compose_megapixels=0.05, turns=1, turn_seconds=0.06)

    figures = list(run(["compose"], sizes, Settings(), say=lambda _: None, folder=tmp_path))

    assert [figure.must for figure in figures] == [0.25, None]
    assert all(0 < figure.value < 1 for figure in figures)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_submitted_dispatched_and_recorded(tmp_path: Path) -> None:
    figures = list(run(["rows"], Sizes(rows=130), Settings(), say=lambda _: None, folder=tmp_path))

    assert [figure.unit for figure in figures] == ["s", "scans/s", "scans/s"]
    assert all(figure.value > 0 for figure in figures)


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="speed: expected of model, worker"):
        next(run(["speed"], Sizes(), Settings(), say=lambda _: None, folder=tmp_path))


@pytest.mark.skipif(is_installed("ray"), reason="Ray is installed here")
def test_without_ray_the_peers_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Python package ray, .* pip install 'photochrom\[peers\]'"):
        next(run(["peers"], Sizes(), Settings(), say=lambda _: None, folder=tmp_path))


def test_the_script_gives_a_scan_its_colours(tmp_path: Path) -> None:
    [path] = make_scans(tmp_path, 1, 0.05)
    lab = lab_of(path.read_bytes())
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)

    (tmp_path / "output.jpg").write_bytes(coloured(lab, np.full((400, 400, 2), (10, 30), np.float32)))

    output = cv2.imread(str(tmp_path / "output.jpg"))
    assert output is not None
    assert grey is not None
    assert output.shape[:2] == grey.shape
    assert output[..., 2].mean() > output[..., 0].mean() + 20  # warm
    assert square_of(lab).shape == (400, 400)


def test_a_process_and_its_children_are_held_still_counted_and_killed() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        tree = ProcessTree(process.pid)
        wait_until(lambda: len(tree.processes()) == 2 and tree.cpu_seconds() > 0.05)
        tree.hold_still()
        wait_until(lambda: {one.status() for one in tree.processes()} == {psutil.STATUS_STOPPED})
        before = tree.cpu_seconds()
        assert tree.memory_bytes() > 1e6
        assert tree.cpu_seconds() == before
        tree.let_go_on()
        wait_until(lambda: tree.cpu_seconds() > before)
        tree.kill()

    assert process.returncode == -signal.SIGKILL
    assert tree.processes() == []


def test_a_probe_says_what_went_wrong_and_goes_on() -> None:
    from scheduler.bench.probe import Probe

    with Probe("worker.bench.host") as probe:
        with pytest.raises(ServiceUnavailable, match="take comes first"):
            probe.ask("compose", seconds=0.1)
        with pytest.raises(ServiceUnavailable, match="IndexError"):
            probe.ask("take", paths=[])


def test_text_that_libraries_print_is_not_taken_for_an_answer() -> None:
    code = "from worker.bench.lines import answer; answer({'say': lambda: [print('noise'), 1][1]})"
    process = subprocess.run(
        [sys.executable, "-c", code], input='{"do": "say"}\n', capture_output=True, text=True, check=True
    )
    assert (json.loads(process.stdout), process.stderr) == (1, "noise\n")


def test_training_is_measured_beside_its_bare_step(tmp_path: Path) -> None:
    sizes = Sizes(model=False, turn_seconds=0.05, turns=1)
    pace, processor_time = run(["train"], sizes, Settings(), say=lambda _: None, folder=tmp_path)

    assert (pace.name, pace.must) == ("train / bare training step", 0.9)
    assert pace.value > 0
    assert processor_time.value > 0
