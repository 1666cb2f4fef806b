"""Shared memory between one child and the model server: places for scans on their way in and out.

An anonymous file rather than a named one: it has no name to clash or to be left behind, and the kernel
frees it when the last of the two processes is gone, however it went.

Both ways 16 bits a value, at the sides that the model uses (`worker.model.packing`).
"""

import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np

from worker.model.packing import SIDE_PX, PackedAb, PackedLightness

FREE = 0  # nothing of a scan is in it
WAITING = 1  # handed over; the batch that it will be in has not begun
RUNNING = 2  # its batch is on the device: if the server dies now, this scan may be why

_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SlotSize:
    """Sides in pixels: of the lightness that a scan's slot holds, and of the largest colours."""

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

    states: (count,) uint8, FREE, WAITING or RUNNING. In the shared memory, so that a child can still read it
        when its server is dead.
    lightness: (count, lightness_px, lightness_px), L* as `pack_lightness` packs it
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
        """(side, side, 2), as `pack_ab` packs it; a side up to ab_px."""
        self._ab[slot, : ab.size] = ab.reshape(-1)

    def read_ab(self, slot: int, side_px: int) -> PackedAb:
        """A copy of what `write_ab` wrote, (side_px, side_px, 2)."""
        return self._ab[slot, : side_px**2 * 2].reshape(side_px, side_px, 2).copy()


def slots_bytes(count: int, size: SlotSize) -> int:
    """Size of the file that holds `count` slots."""
    return _header_bytes(count) + count * (size.lightness_bytes + size.ab_bytes)


def slots_file(count: int, size: SlotSize) -> int:
    """Descriptor of a new anonymous file for `count` slots, all zeros; the caller closes it."""
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
