"""Shared memory between one child and the model server: places for scans on their way in and out.

An anonymous file rather than a named one: it has no name to clash or to be left behind, and the kernel
frees it when the last of the two processes is gone, however it went.

a and b go back as float32, which the model gives and the compose step wants: twice the bytes of float16,
but copying 1.28 MB costs less than converting it on both sides.
"""

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

SIDE = 400  # pixels; the fusion model's input and output are square

FREE = 0  # nothing of a scan is in it
WAITING = 1  # handed over; the batch that it will be in has not begun
RUNNING = 2  # its batch is on the device: if the server dies now, this scan may be why

_LIGHTNESS_BYTES = SIDE * SIDE * 4
_AB_BYTES = SIDE * SIDE * 2 * 4


class Slots:
    """`count` slots in the file behind `descriptor`, which may be closed afterwards.

    states: (count,) uint8, FREE, WAITING or RUNNING. In the shared memory, so that a child can still read it
        when its server is dead.
    lightness: (count, 400, 400) float32, 0..100
    ab: (count, 400, 400, 2) float32, CIE a* and b*
    """

    def __init__(self, descriptor: int, count: int) -> None:
        size = slots_bytes(count)
        found = os.fstat(descriptor).st_size
        if found != size:
            raise ValueError(f"a file of {found} bytes; expected {size} for {count} slots")
        memory = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
        header, lightness_end = _header_bytes(count), _header_bytes(count) + count * _LIGHTNESS_BYTES
        self.states: NDArray[np.uint8] = memory[:count]
        self.lightness: NDArray[np.float32] = (
            memory[header:lightness_end].view(np.float32).reshape(count, SIDE, SIDE)
        )  # (count, 400, 400), 0..100
        self.ab: NDArray[np.float32] = (
            memory[lightness_end:].view(np.float32).reshape(count, SIDE, SIDE, 2)
        )  # (count, 400, 400, 2)

    def __len__(self) -> int:
        return len(self.states)


def slots_bytes(count: int) -> int:
    """Size of the file that holds `count` slots."""
    return _header_bytes(count) + count * (_LIGHTNESS_BYTES + _AB_BYTES)


def slots_file(count: int) -> int:
    """Descriptor of a new anonymous file for `count` slots, all zeros; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("photochrom-slots")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, slots_bytes(count))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _header_bytes(count: int) -> int:
    page = 4096
    return -(-count // page) * page
