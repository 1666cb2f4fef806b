"""The precision that a machine computes in is decided once."""

import fcntl
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from worker.model.backends import precision_file
from worker.model.backends.precision import Precision
from worker.model.backends.precision_file import decided, machine_key
from worker.model.colorizer import device_name


class Measurement:
    def __init__(self, *results: Precision) -> None:
        self.results, self.count = list(results), 0

    def __call__(self) -> Precision:
        self.count += 1
        return self.results.pop(0)


def test_a_machine_decides_once_whatever_a_later_measurement_would_give(tmp_path: Path) -> None:
    measurement = Measurement("bfloat16", "float32")

    decisions = [decided(tmp_path / "precision.json", "this machine", measurement) for _ in range(3)]

    assert decisions == ["bfloat16"] * 3
    assert measurement.count == 1


def test_another_machine_device_or_checkpoint_decides_again_and_the_first_keeps_its_choice(tmp_path: Path) -> None:
    path, measurement = tmp_path / "precision.json", Measurement("bfloat16", "float32")
    keys = (machine_key("CPU", "0123"), machine_key("CPU", "4567"))

    assert keys[0] != keys[1]
    assert machine_key("GPU NVIDIA H200", "0123") != machine_key("GPU NVIDIA L4", "0123")
    assert [decided(path, key, measurement) for key in (*keys, *keys)] == ["bfloat16", "float32"] * 2


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS"])
def test_a_variable_that_changes_what_the_processor_computes_decides_again(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    before = machine_key("CPU", "0123")

    monkeypatch.setenv(name, "AVX2")

    assert machine_key("CPU", "0123") != before


def test_a_device_has_a_name_of_its_own_in_the_key() -> None:
    assert device_name() == "CPU" or device_name().startswith("GPU ")


def test_workers_that_start_together_decide_one_after_the_other(tmp_path: Path) -> None:
    path, both_began = tmp_path / "precision.json", threading.Barrier(2)

    def measure(precision: Precision) -> Precision:
        with suppress(threading.BrokenBarrierError):
            both_began.wait(0.5)  # ends at once if both measure at the same time
        return precision

    keys: list[tuple[str, Precision]] = [("a", "bfloat16"), ("b", "float32"), ("a", "float32")]
    with ThreadPoolExecutor(3) as threads:
        decisions = list(threads.map(lambda entry: decided(path, entry[0], lambda: measure(entry[1])), keys))

    assert decisions[0] == decisions[2]
    assert json.loads(path.read_text()) == {"a": decisions[0], "b": "float32"}


def test_a_process_that_hangs_while_it_decides_holds_no_other_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(precision_file, "_WAIT_SECONDS", 0.5)
    with (tmp_path / "precision.json.lock").open("w") as hanging, ThreadPoolExecutor(1) as thread:
        fcntl.flock(hanging, fcntl.LOCK_EX)
        decision = thread.submit(decided, tmp_path / "precision.json", "this machine", lambda: "float32")
        try:
            assert decision.result(timeout=60) == "float32"
        finally:
            fcntl.flock(hanging, fcntl.LOCK_UN)

    assert json.loads((tmp_path / "precision.json").read_text()) == {"this machine": "float32"}
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_a_damaged_file_costs_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "precision.json"
    for content in ("{", '["bfloat16"]', '{"this machine": "int3"}'):
        path.write_text(content)
        assert decided(path, "this machine", lambda: "float32") == "float32"


def test_a_folder_that_cannot_be_written_costs_a_measurement(tmp_path: Path) -> None:
    assert decided(tmp_path / "missing" / "precision.json", "this machine", lambda: "float32") == "float32"
