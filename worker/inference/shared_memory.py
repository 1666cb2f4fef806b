"""Shared memory between one child and the model server: slots for scans and their colours.

It is an anonymous file: there is no name that can clash or be left behind, and the kernel frees it when both processes
have ended, also after a crash.

Values have 16 bits in both directions, in the sizes that the model uses (`worker.model.packing`).
"""

import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np

from worker.model.packing import SIDE_PX, PackedAb, PackedLightness

FREE = 0  # the slot holds no scan
WAITING = 1  # the scan is handed over, and its batch has not begun
RUNNING = 2  # its batch is on the device; if the server dies now, this scan may be the cause

_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SlotSize:
    """Sides in pixels of the lightness in a slot, and of the largest colours."""

    lightness_px: int = SIDE_PX
    ab_px: int = SIDE_PX

    @property
    def lightness_bytes(self) -> int:
        return self.lightness_px**2 * 2

    @property
    def ab_bytes(self) -> int:
        return self.ab_px**2 * 2 * 2


class Slots:
    """`count` slots in the file behind `descriptor`, which may be closed afterwards.

    states: (count,) uint8, FREE, WAITING or RUNNING. They are in the shared memory, so that a child can read them after
    its server has died. lightness: (count, lightness_px, lightness_px), L* packed by `pack_lightness`
    """

    def __init__(self, descriptor: int, count: int, size: SlotSize) -> None:
        expected = slots_bytes(count, size)
        file_bytes = os.fstat(descriptor).st_size
        if file_bytes != expected:
            raise ValueError(f"a file of {file_bytes} bytes; expected {expected} for {count} slots")
        memory = np.frombuffer(mmap.mmap(descriptor, expected), np.uint8)
        header = _header_bytes(count)
        lightness_end = header + count * size.lightness_bytes
        self.states = memory[:count]
        self.lightness: PackedLightness = (
            memory[header:lightness_end].view(np.uint16).reshape(count, size.lightness_px, size.lightness_px)
        )
        self._ab: PackedAb = memory[lightness_end:].view(np.int16).reshape(count, -1)

    def __len__(self) -> int:
        return len(self.states)

    def write_ab(self, slot: int, ab: PackedAb) -> None:
        """Write colours (side, side, 2), packed by `pack_ab`; side is at most ab_px."""
        self._ab[slot, : ab.size] = ab.reshape(-1)

    def read_ab(self, slot: int, side_px: int) -> PackedAb:
        """A copy of the colours that `write_ab` wrote, (side_px, side_px, 2)."""
        return self._ab[slot, : side_px**2 * 2].reshape(side_px, side_px, 2).copy()


def slots_bytes(count: int, size: SlotSize) -> int:
    """Size of the file that holds `count` slots."""
    return _header_bytes(count) + count * (size.lightness_bytes + size.ab_bytes)


def slots_file(count: int, size: SlotSize) -> int:
    """The descriptor of a new anonymous file for `count` slots, filled with zeros. The caller must close it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("photochrom-slots")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, slots_bytes(count, size))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _header_bytes(count: int) -> int:
    return -(-count // _PAGE_BYTES) * _PAGE_BYTES
