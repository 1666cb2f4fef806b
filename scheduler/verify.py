"""`photochrom verify`: both stores read again, and each file's SHA-256 held against its row."""

import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.models import Job, Scan, ScanState
from db.queries import jobs, scans
from db.session import read_scope
from scheduler.bag import TAG_FILES
from scheduler.report_file import REPORTS
from scheduler.submission import Submission
from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable
from worker.storage import S3Options, Storage, open_storage, parse_location

PAGE_SCANS = 1_000
_ANY_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Difference:
    """`side` is source or output; `what` is changed, missing, extra or unreadable."""

    side: str
    what: str
    key: str
    detail: str = ""


@dataclass(slots=True)
class Verified:
    """What was read, and all that was not as the rows say."""

    sources: int = 0
    outputs: int = 0
    bytes: int = 0
    differences: list[Difference] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        read = f"{self.sources} sources and {self.outputs} outputs read again, {self.bytes / 1e6:.1f} MB"
        if not self.differences:
            return f"{read}: each is as recorded, and nothing else is there"
        counts = ", ".join(
            f"{sum(difference.what == what for difference in self.differences)} {what}"
            for what in ("changed", "missing", "extra", "unreadable")
            if any(difference.what == what for difference in self.differences)
        )
        return f"{read}: {counts}"


def remedies(job: Job, verified: Verified) -> list[str]:
    """What a person can do about the differences, a sentence each."""
    found = {(difference.side, difference.what) for difference in verified.differences}
    again = " ".join(["photochrom submit", shlex.quote(job.source), shlex.quote(job.destination), *_options(job)])
    said = []
    if ("source", "missing") in found:
        said.append("Put the missing sources back; their outputs can't be made again without them.")
    if ("source", "changed") in found:
        said.append(f"Put changed sources back, or colourize them as they are now: {again} --missing-only")
    if ("output", "changed") in found:
        said.append(f"Move the changed outputs away, then make them again: {again} --missing-only")
    elif ("output", "missing") in found:
        said.append(f"Make the missing outputs again: {again} --missing-only")
    if ("output", "extra") in found:
        said.append("Move the extra files away, or leave them: no job made them, and none will replace them.")
    return said


def _options(job: Job) -> list[str]:
    """The options of the submit that made the job, as far as they are not the usual ones."""
    usual = Submission("", "").options
    words = []
    for name, value in job.options.items():
        if value != usual.get(name):
            option = "--" + name.replace("_", "-")
            words.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return words


class Verifier:
    """Verifies one job; `progress(verified)` is called after each page of scans."""

    def __init__(
        self, engine: Engine, *, s3: S3Options, threads: int = 8, progress: Callable[[Verified], None] = lambda _: None
    ) -> None:
        self._engine, self._s3, self._threads, self._progress = engine, s3, threads, progress

    def verify(self, job_id: int) -> Verified:
        """Read every source and output of the job's done scans; then list what else lies at the destination.

        A file there is extra when no job with this destination recorded it as its output. Raises UsageError for an
        unknown job or locations that are gone; ServiceUnavailable.
        """
        with read_scope(self._engine) as session:
            job = jobs.get(session, job_id)
        source, destination = self._open(job.source), self._open(job.destination)
        verified = Verified()
        with (
            tempfile.TemporaryDirectory(prefix="photochrom-verify-") as folder,
            ThreadPoolExecutor(self._threads) as pool,
        ):
            for page in self._pages(job_id):
                for read, differences in pool.map(lambda scan: _check(scan, source, destination, folder), page):
                    verified.sources += 1
                    verified.outputs += 1
                    verified.bytes += read
                    verified.differences += differences
                self._progress(verified)
        verified.differences += self._extra(job, destination)
        return verified

    def _open(self, uri: str) -> Storage:
        storage = open_storage(parse_location(uri), s3=self._s3)
        storage.check()
        return storage

    def _pages(self, job_id: int) -> Iterator[list[Scan]]:
        after = 0
        while True:
            with read_scope(self._engine) as session:
                page = scans.of_job(session, job_id, state=ScanState.DONE, after_id=after, limit=PAGE_SCANS)
            if not page:
                return
            yield page
            after = page[-1].id

    def _extra(self, job: Job, destination: Storage) -> Iterator[Difference]:
        for some in _batches((found.key for found in destination.list()), PAGE_SCANS):
            with read_scope(self._engine) as session:
                known = scans.outputs_at(session, job.destination, some)
            expected = {*known, *(TAG_FILES if job.options.get("bag") else ())}
            strange = (key for key in some if key not in expected and not key.startswith(REPORTS))
            yield from (Difference("output", "extra", key) for key in strange)


def _check(scan: Scan, source: Storage, destination: Storage, folder: str) -> tuple[int, list[Difference]]:
    """Bytes read, and what is wrong with the scan's two files."""
    sides = (
        ("source", source, scan.source_key, scan.source_sha256),
        ("output", destination, scan.output_key, scan.output_sha256),
    )
    read, differences = 0, []
    for side, storage, key, expected in sides:
        path = Path(folder, f"{scan.id}-{side}")
        try:
            got = storage.fetch(key, path, etag=None, max_bytes=_ANY_BYTES)
        except StorageUnavailable as error:
            raise ServiceUnavailable(error.message) from None
        except ScanError as error:
            what = "missing" if error.code == "source_missing" else "unreadable"
            differences.append(Difference(side, what, key, error.message if what == "unreadable" else ""))
            continue
        finally:
            path.unlink(missing_ok=True)
        read += got.bytes
        if got.sha256 != expected:
            differences.append(Difference(side, "changed", key, f"SHA-256 {got.sha256}, recorded {expected}"))
    return read, differences


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(keys)
    while batch := list(islice(left, size)):
        yield batch
