"""The doctor counts what a child takes itself, beside the scans that it holds."""

import pytest

from scheduler.doctor import machine
from scheduler.doctor.finding import State
from worker.settings.settings import Settings


@pytest.mark.parametrize(("gib", "children", "state"), [(4, 8, State.NOTE), (4, 4, State.FINE)])
def test_memory_of_children_counts(gib: int, children: int, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: gib << 30)
    finding = machine._memory(Settings(children=children, in_flight_bytes=256 << 20))
    assert finding.state == state


def test_the_remedy_is_fewer_children_if_their_scans_alone_are_not_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 4 << 30)
    monkeypatch.setattr(machine, "fitting_children", lambda: 8)
    finding = machine._memory(Settings(children=64, in_flight_bytes=64 << 20))
    assert finding.remedy == "set PHOTOCHROM_CHILDREN=8"
