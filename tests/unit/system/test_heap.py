import time
from pathlib import Path

import numpy as np
import pytest

from worker.system import heap
from worker.system.heap import FreedMemory


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(heap._trim is None, reason="this C library is not glibc")
def test_free_memory_inside_the_heap_is_returned_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_EVERY_SECONDS", 0.0)
    freed = FreedMemory()
    # Blocks of this size are in the heap; larger blocks get memory of their own. Every other block stays in use, so the
    # free memory is inside the heap and not at its end.
    blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]
    del blocks[::2]
    before = resident_bytes()
    assert freed.give_back()
    assert resident_bytes() < before - 50_000_000
    assert len(blocks) == 1000


def test_it_is_not_due_right_away(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = FreedMemory()
    assert not freed.give_back()
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert freed.give_back() == (heap._trim is not None)
    assert not freed.give_back()
