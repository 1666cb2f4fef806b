"""This machine: cores, memory, scratch space, files, user."""

import os
import resource
import tempfile
from collections.abc import Iterator

from scheduler.doctor import disk_space
from scheduler.doctor.finding import Finding, State
from worker.settings.settings import Settings
from worker.system.machine import CHILD_BYTES, available_cores, available_memory_bytes, fitting_children

_LEAST_IN_FLIGHT_BYTES = 64 << 20  # as the setting's default: with less, most scans would be worked on alone


def look(settings: Settings) -> Iterator[Finding]:
    yield _cores(settings)
    yield _memory(settings)
    yield _scratch(settings)
    yield _files(settings)
    if os.geteuid() == 0:
        remedy = "give it a user of its own: image decoders read files from outside"
        yield Finding("user", State.NOTE, "Photochrom runs as root", remedy)


def _cores(settings: Settings) -> Finding:
    sentence = f"{settings.children} children for {available_cores():g} cores"
    if settings.children > 2 * available_cores():
        return Finding("cores", State.NOTE, sentence, f"set PHOTOCHROM_CHILDREN={fitting_children()}")
    return Finding("cores", State.FINE, sentence)


def _memory(settings: Settings) -> Finding:
    needed, total = settings.children * (CHILD_BYTES + settings.in_flight_bytes), available_memory_bytes()
    sentence = f"children may take {needed / 1e9:.1f} GB with their scans, of {total / 1e9:.1f} GB of memory"
    if needed <= 0.8 * total:
        return Finding("memory", State.FINE, sentence)
    fitting = int(0.8 * total / settings.children - CHILD_BYTES) >> 20 << 20
    if fitting < _LEAST_IN_FLIGHT_BYTES:
        remedy = f"set PHOTOCHROM_CHILDREN={min(settings.children, fitting_children())}"
    else:
        remedy = f"set PHOTOCHROM_IN_FLIGHT_BYTES={fitting}, or fewer PHOTOCHROM_CHILDREN"
    return Finding("memory", State.NOTE, sentence, remedy)


def _scratch(settings: Settings) -> Finding:
    folder = settings.scratch_folder
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"photochrom")
    except OSError as error:
        remedy = "set PHOTOCHROM_SCRATCH_FOLDER to a folder that can be written"
        return Finding("scratch", State.WRONG, f"{folder} can't be written ({error.strerror})", remedy)
    return disk_space.of_the_scratch_folder(
        folder, disk_space.Room.of(folder), settings.children * settings.in_flight_bytes
    )


def _files(settings: Settings) -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 64 + settings.threads_for() * 12
    sentence = f"a process may open {limit} files"
    if limit < needed:
        return Finding("files", State.WRONG, f"{sentence}, a child needs {needed}", f"ulimit -n {max(1024, needed)}")
    return Finding("files", State.FINE, sentence)
