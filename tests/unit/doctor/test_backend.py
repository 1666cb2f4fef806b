"""A worker needs the package that KERAS_BACKEND names, TensorFlow or JAX, and no other."""

from importlib.machinery import ModuleSpec

import pytest
from typer.testing import CliRunner

import scheduler.doctor.device
from scheduler import doctor
from scheduler.cli.commands.processes import app
from scheduler.doctor.finding import Finding, State
from worker.errors import UsageError
from worker.settings.settings import Settings

FINE = Finding("device", State.FINE, "CPU")


def only(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of TensorFlow and JAX, only this one is installed."""
    monkeypatch.setattr("worker.extras.find_spec", lambda name: ModuleSpec(name, None) if name == installed else None)
    monkeypatch.setattr(scheduler.doctor.device, "device", lambda settings: iter([FINE]))


def test_the_doctor_tries_the_device_of_a_machine_with_jax_only(monkeypatch: pytest.MonkeyPatch) -> None:
    only("jax", monkeypatch)

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert list(doctor._device(Settings())) == [FINE]

    monkeypatch.delenv("KERAS_BACKEND")
    [finding] = doctor._device(Settings())
    assert (finding.state, "no TensorFlow" in finding.sentence) == (State.NOTE, True)
    assert "photochrom[worker]" in finding.remedy


def test_the_doctor_says_that_jax_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    only("tensorflow", monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "jax")

    [finding] = doctor._device(Settings())

    assert (finding.state, "no JAX" in finding.sentence, "photochrom[jax]" in finding.remedy) == (
        State.NOTE,
        True,
        True,
    )


@pytest.mark.parametrize(("variable", "starts"), [("jax", True), ("", False)])
def test_a_worker_starts_on_a_machine_with_jax_only(
    variable: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("jax", monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", variable)
    programs: list[str] = []
    monkeypatch.setattr("os.execv", lambda program, arguments: programs.append(program))

    result = CliRunner().invoke(app, ["worker"])

    assert (len(programs) == 1) == starts
    assert isinstance(result.exception, UsageError) != starts
