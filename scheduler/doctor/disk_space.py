"""The disk space for scans and their outputs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.doctor.finding import Finding, State
from scheduler.text import counted
from worker.system.mounts import read_mounts

LEAST_BYTES = 2 << 30
LEAST_FILES = 10_000
OUTPUT_PER_SOURCE = 3  # bytes: three channels in place of one, in the scan's own format
SAMPLE_SCANS = 1_000


@dataclass(frozen=True, slots=True)
class Room:
    """The space that a folder's file system has left for this user. `files` is None if it has no limit for files."""

    bytes: int
    files: int | None
    in_memory: bool = False

    @classmethod
    def of(cls, folder: Path) -> "Room":
        space = os.statvfs(folder)
        files = space.f_favail if space.f_files else None
        return cls(space.f_bavail * space.f_frsize, files, _kind(folder) in ("tmpfs", "ramfs"))

    @property
    def is_short(self) -> bool:
        return self.bytes < LEAST_BYTES or (self.files is not None and self.files < LEAST_FILES)

    def __str__(self) -> str:
        if self.files is not None and self.files < LEAST_FILES:
            return f"{self.bytes / 1e9:.1f} GB and {self.files:,} files"
        return f"{self.bytes / 1e9:.1f} GB"


def of_a_destination(place: str, room: Room, sizes: Sequence[int]) -> Finding:
    """sizes: bytes of the source's first scans, at most SAMPLE_SCANS."""
    sentence, remedy = f"{place} has {room} free", "make room there; then photochrom retry JOB --code disk_full"
    if room.is_short:
        return Finding("destination", State.WRONG, sentence, remedy)
    needed = OUTPUT_PER_SOURCE * sum(sizes)
    if needed == 0:
        return Finding("destination", State.FINE, sentence)
    if len(sizes) < SAMPLE_SCANS:
        sentence += f"; outputs of the source's {counted(len(sizes), 'scan')} may take {needed / 1e9:.1f} GB"
        if needed > room.bytes:  # some outputs may exist already, and some compress better
            return Finding("destination", State.NOTE, sentence, remedy)
        return Finding("destination", State.FINE, sentence)
    fit = room.bytes * len(sizes) // needed
    return Finding("destination", State.FINE, f"{sentence}, for some {fit:,} outputs of scans like the source's first")


def of_the_scratch_folder(folder: Path, room: Room, in_flight_bytes: int) -> Finding:
    """in_flight_bytes: the decoded bytes of scans that a worker on this machine may hold at once."""
    sentence = f"{folder} has {room} free; it holds every scan in progress, and its output"
    remedy = "set PHOTOCHROM_SCRATCH_FOLDER to a disk with room"
    if room.is_short:
        return Finding("scratch", State.WRONG, sentence, remedy)
    if room.in_memory:
        return Finding(
            "scratch", State.NOTE, f"{sentence}; it lies in memory", f"{remedy}, or take this for memory in use"
        )
    if room.bytes < in_flight_bytes:
        return Finding("scratch", State.NOTE, f"{sentence}; those may come to {in_flight_bytes / 1e9:.1f} GB", remedy)
    return Finding("scratch", State.FINE, sentence)


def _kind(folder: Path) -> str:
    """The kind of file system of a folder; "" if the machine does not say."""
    place = f"{os.major(folder.stat().st_dev)}:{os.minor(folder.stat().st_dev)}"
    return next((mount.filesystem for mount in read_mounts() if mount.device == place), "")
