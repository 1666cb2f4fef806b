"""One run: write files into folders, submit a job for each output format, and check all that must hold afterwards."""

import hashlib
import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image
from sqlalchemy import func, select

from db.models.jobs import Chunk, Job, JobState, Scan, ScanState
from db.queries.jobs import lifecycle
from db.session import read_scope
from scheduler.standalone.system import System
from scheduler.submission.submitter import Submission, Submitter
from tests.fuzz.files import bombs, hostile_files
from tests.fuzz.independent_reader import expected_lightness, silent_damage
from worker.error_codes import ERROR_CODES
from worker.settings.settings import load_settings

FORMATS = ("source", "tiff", "jpeg", "png", "jp2")
# Codes that show a fault of Photochrom, not of the file.
_OURS = {"internal", "worker_killed", "unwritable", "model_failed", "model_unavailable", "disk_full", "source_changed"}
SCAN_SECONDS = 60.0  # no scan of so few pixels may take longer
_SETTINGS = {
    "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1",
    "PHOTOCHROM_MAX_SCAN_PIXELS": "50000000",
    "PHOTOCHROM_SOFT_TIME_LIMIT_SECONDS": "300",
    "PHOTOCHROM_HARD_TIME_LIMIT_SECONDS": "400",
    "PHOTOCHROM_VISIBILITY_TIMEOUT_SECONDS": "500",
}


@dataclass(slots=True)
class Outcome:
    """How many files had each kind of damage, how many scans ended in which way, and what is wrong."""

    ways: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    compared: int = 0  # outputs whose lightness another reader could judge
    most_bytes: int = 0  # resident, of the worker with its children, above what it took at its start
    most_bytes_of_one: int = 0  # the same for one of these processes
    seconds: float = 0.0


def fuzz(folder: Path, files: int, seed: int, *, limit_seconds: float, kept: Path | None = None) -> Outcome:
    """Run `files` damaged files and a few bombs through a scheduler and a worker, in `folder`.

    kept: a folder for the files that show a fault.
    """
    outcome, began = Outcome(), time.monotonic()
    scratch = folder / "scratch"
    scratch.mkdir()
    outcome.ways = _write(folder, files, seed)
    os.environ.update(_SETTINGS, PHOTOCHROM_SCRATCH_FOLDER=str(scratch))
    with System(folder / "state", with_s3=False) as system:
        job_ids = [_submit(system, folder, format) for format in FORMATS]
        system.start_processes()
        _wait(system, job_ids, outcome, began + limit_seconds)
        _judge(system, folder, outcome, kept)
    if left := list(scratch.iterdir()):
        outcome.faults.append(f"{len(left)} files are left in the scratch folder")
    outcome.seconds = time.monotonic() - began
    return outcome


def _write(folder: Path, files: int, seed: int) -> Counter[str]:
    """Write the files. Returns how many there are of each kind."""
    ways = Counter[str]()
    for format in FORMATS:
        (folder / "in" / format).mkdir(parents=True)
    for number, file in enumerate([*bombs(), *hostile_files(files, seed)]):
        path = folder / "in" / FORMATS[number % len(FORMATS)] / f"{number:05}.{file.extension}"
        path.write_bytes(file.data)
        ways[file.way] += 1
    return ways


def _submit(system: System, folder: Path, format: str) -> int:
    settings = load_settings()
    submitter = Submitter(
        system.engine, s3=settings.s3_options, chunk_scans=settings.chunk_scans, checkpoints=lambda: []
    )
    job_id = submitter.submit(Submission(str(folder / "in" / format), str(folder / "out" / format), format)).job_id
    assert job_id is not None
    return job_id


def _wait(system: System, job_ids: list[int], outcome: Outcome, deadline: float) -> None:
    idle: dict[int, int] = {}
    while time.monotonic() < deadline:
        system.check()
        with read_scope(system.engine) as session:
            found = [lifecycle.progress(session, job_id) for job_id in job_ids]
        if all(each.job.state == JobState.COMPLETED for each in found):
            return
        resident = _resident()
        if not idle and any(each.done + each.failed for each in found):
            idle = resident
        if idle:
            outcome.most_bytes = max(outcome.most_bytes, sum(resident.values()) - sum(idle.values()))
            growth = (size - idle[pid] for pid, size in resident.items() if pid in idle)
            outcome.most_bytes_of_one = max(outcome.most_bytes_of_one, *growth)
        time.sleep(0.2)
    outcome.faults.append("it did not end in time")


def _resident() -> dict[int, int]:
    """Resident bytes of each of the worker's processes. A memory page that several share counts for each of them."""
    sizes: dict[int, int] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "scheduler" not in process.cmdline()[-1:]:
                sizes[process.pid] = process.memory_info().rss
    return sizes


def _judge(system: System, folder: Path, outcome: Outcome, kept: Path | None) -> None:
    with read_scope(system.engine) as session:
        rows = session.execute(select(Scan, Job.options).join(Job, Job.id == Scan.job_id)).all()
        lost = session.scalar(select(func.sum(Chunk.lost_leases + Chunk.killed_children)))
    if len(rows) != outcome.ways.total():
        outcome.faults.append(f"{outcome.ways.total():,} files have {len(rows):,} rows")
    if lost:
        outcome.faults.append(f"{lost} leases were lost: a child died")
    made = set[Path]()
    for scan, options in rows:
        output = folder / "out" / options["format"] / scan.output_key
        outcome.ends[scan.error_code or scan.state] += 1
        stages = (scan.fetch_ms, scan.open_ms, scan.wait_ms, scan.predict_ms, scan.compose_ms, scan.store_ms)
        outcome.slowest_seconds = max(outcome.slowest_seconds, sum(ms or 0 for ms in stages) / 1000)
        if scan.state == ScanState.DONE:
            made.add(output)
        source = folder / "in" / options["format"] / scan.source_key
        faults = _faults(scan, source, output)
        outcome.faults += [f"{options['format']}/{scan.source_key} {fault}" for fault in faults]
        outcome.compared += scan.state == ScanState.DONE and bool(expected_lightness(source))
        if faults and kept:
            shutil.copy(source, kept / f"{options['format']}-{source.name}")
    strangers = {path for path in (folder / "out").rglob("*") if path.is_file()} - made
    outcome.faults += [f"{path.name} lies there without a scan that is done" for path in sorted(strangers)]
    if outcome.slowest_seconds > SCAN_SECONDS:
        outcome.faults.append(f"a scan took {outcome.slowest_seconds:.0f} s")


def _faults(scan: Scan, source: Path, output: Path) -> list[str]:
    if scan.state == ScanState.DONE:
        if hashlib.sha256(output.read_bytes()).hexdigest() != scan.output_sha256:
            return ["has another output than its row says"]
        with Image.open(output) as image:
            image.load()
            if image.size != (scan.width, scan.height):
                return [f"came out as {image.size}"]
        damage = silent_damage(source, output)
        return [damage] if damage else []
    said = scan.error_message or ""
    faults = ["has no code that is known"] if scan.error_code not in ERROR_CODES else []
    faults += [f"ended as {scan.error_code}: {said}"] if scan.error_code in _OURS or scan.state == "pending" else []
    return faults + (["says it in several lines"] if "\n" in said or not said else [])
