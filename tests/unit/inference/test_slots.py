import os

import numpy as np
import pytest

from worker.inference.shared_memory import WAITING, Slots, SlotSize, slots_bytes, slots_file

SIZE = SlotSize(lightness_px=16, ab_px=8)


def test_two_mappings_of_one_file_share_every_slot() -> None:
    descriptor = slots_file(3, SIZE)
    ours, theirs = Slots(descriptor, 3, SIZE), Slots(descriptor, 3, SIZE)
    os.close(descriptor)
    for slot in range(3):
        ours.states[slot], ours.lightness[slot] = WAITING, slot + 10
        ours.write_ab(slot, np.full((4, 4, 2), slot + 20, np.int16))
    assert theirs.states.tolist() == [WAITING] * 3
    assert [np.unique(part).tolist() for part in theirs.lightness] == [[10], [11], [12]]
    assert [np.unique(theirs.read_ab(slot, 4)).tolist() for slot in range(3)] == [[20], [21], [22]]


def test_without_memfd_a_file_that_has_no_name_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = slots_file(1, SIZE)
    assert os.fstat(descriptor).st_nlink == 0
    assert os.fstat(descriptor).st_size == slots_bytes(1, SIZE)
    os.close(descriptor)


def test_a_file_of_another_size_is_refused() -> None:
    descriptor = slots_file(2, SIZE)
    with pytest.raises(ValueError, match="for 3 slots"):
        Slots(descriptor, 3, SIZE)
    os.close(descriptor)
