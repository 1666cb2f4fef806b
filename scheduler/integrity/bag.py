"""Seals a job's destination as a BagIt bag (RFC 8493): outputs are in data/, and their hashes in files beside it.

Hashes come from the rows, into which the workers wrote them when they stored each output. Each file is read once and
compared with its row, because a bag must not confirm a file that a later job, or somebody else, has put in the place of
an output. Sealing again writes the same files, so after a crash a bag is simply sealed again.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import bagit
from sqlalchemy import Engine

from db.clock import database_now
from db.errors import Conflict
from db.models.jobs import Job, JobState
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.queries.scans.records import Output
from db.session import read_scope, session_scope
from scheduler.integrity.premis import write_premis
from scheduler.submission.bag_keys import PAYLOAD
from scheduler.text import counted
from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage import FolderLocation, S3Options, Storage, open_storage, parse_location

DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAG_MANIFEST, PREMIS = "manifest-sha256.txt", "tagmanifest-sha256.txt", "premis.xml"
TAG_FILES = (
    MANIFEST,
    PREMIS,
    INFO,
    TAG_MANIFEST,
    DECLARATION,
)  # in the order in which they are written; the last one makes it a bag
_DECLARED = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_ASKED_AT_ONCE = 1_000
_READ_AT_ONCE = 8
_ANY_BYTES = 1 << 62
_NAMED = 3  # at most this many wrong files are named in an error


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is in the bag."""

    uri: str
    files: int
    bytes: int

    def sentence(self) -> str:
        return f"{self.uri} is a bag of {counted(self.files, 'file')}, {self.bytes / 1e6:.1f} MB"


class Sealer:
    """Seals destinations of the jobs in one database. Raises ServiceUnavailable as soon as `stopping()` is true."""

    def __init__(self, engine: Engine, *, s3: S3Options, stopping: Callable[[], bool] = lambda: False) -> None:
        self._engine, self._s3, self._stopping = engine, s3, stopping

    def seal(self, job_id: int) -> Sealed:
        """Write the bag's own files, and record it in the job's row.

        Raises UsageError if the job makes no bag or has not ended, or if a file in data/ is not what a job with this
        destination put there; and ServiceUnavailable.
        """
        with read_scope(self._engine) as session:
            job = lifecycle.get(session, job_id)
            unfinished = [other.id for other in lifecycle.unfinished(session) if other.destination == job.destination]
        _expect_ended(job, unfinished)
        destination = self._open(job.destination)
        with tempfile.TemporaryDirectory(prefix="photochrom-bag-") as folder:
            sealed = self._write_manifest(job, Path(folder, MANIFEST))
            self._store_all(job, sealed, destination, Path(folder))
        _check(job.destination)
        with session_scope(self._engine) as session:
            is_sealed = lifecycle.note_sealed(session, job_id, finished_at=job.finished_at, now=database_now(session))
        if not is_sealed:
            raise Conflict(
                f"job {job_id} was tried again while its bag was sealed, so the bag is not complete; the scheduler "
                f"seals it when the job has ended, or use photochrom bag {job_id} then"
            )
        return sealed

    def _open(self, uri: str) -> Storage:
        storage = open_storage(parse_location(uri), s3=self._s3)
        storage.check()
        return storage

    def _write_manifest(self, job: Job, path: Path) -> Sealed:
        """Write a line for each file in data/, after it was compared with its row."""
        files, size, matched, wrong = 0, 0, 0, list[str]()
        payload = open_storage(parse_location(f"{job.destination}/{PAYLOAD}"), s3=self._s3)
        if isinstance(parse_location(job.destination), FolderLocation):
            payload.check()
        with path.open("w", encoding="utf-8", newline="") as manifest, ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            for batch in _batches(((entry.key, entry.bytes) for entry in payload.list()), _ASKED_AT_ONCE):
                if self._stopping():
                    raise ServiceUnavailable(f"{job.destination} was not sealed: the scheduler stops")
                with read_scope(self._engine) as session:
                    recorded = records.outputs_in(session, job.destination, [PAYLOAD + key for key, _ in batch])
                matched += len(recorded)
                read = partial(_hash_of, payload, path.parent)
                for (key, found_bytes), sha256 in zip(batch, pool.map(read, [key for key, _ in batch]), strict=True):
                    output = recorded.get(PAYLOAD + key)
                    if output is None or (output.bytes, output.sha256) != (found_bytes, sha256):
                        wrong.append(f"{PAYLOAD}{key} {_what_is_wrong(output, found_bytes)}")
                        continue
                    manifest.write(f"{output.sha256}  {PAYLOAD}{key}\n")
                    files, size = files + 1, size + found_bytes
        with read_scope(self._engine) as session:
            missing = records.count_outputs_in(session, job.destination, PAYLOAD) - matched
        if missing > 0:
            wrong.append(f"{counted(missing, 'output')} missing")
        if wrong:
            more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            raise UsageError(f"{job.destination} can't be sealed: {', '.join(wrong[:_NAMED])}{more}; {_REMEDY}")
        return Sealed(job.destination, files, size)

    def _store_all(self, job: Job, sealed: Sealed, destination: Storage, folder: Path) -> None:
        _write(folder / INFO, _info(job, sealed))
        _write(folder / DECLARATION, _DECLARED)
        write_premis(self._engine, job.destination, folder / PREMIS)
        listed = (DECLARATION, INFO, MANIFEST, PREMIS)
        _write(folder / TAG_MANIFEST, "".join(f"{_sha256(folder / name)}  {name}\n" for name in listed))
        try:
            for name in TAG_FILES:
                content_type = "application/xml" if name == PREMIS else "text/plain; charset=utf-8"
                destination.store(folder / name, name, content_type=content_type)
        except StorageUnavailable as error:
            raise ServiceUnavailable(error.message) from None
        except ScanError as error:
            raise UsageError(f"{job.destination} can't be sealed: {error.message}") from None


def _hash_of(payload: Storage, folder: Path, key: str) -> str:
    """The SHA-256 of the file as it is now; "" if it can't be read.

    Raises ServiceUnavailable if the store does not answer.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            return payload.fetch(key, Path(scratch, "output"), etag=None, max_bytes=_ANY_BYTES).sha256
        except ScanError as error:
            if not error.permanent:
                raise ServiceUnavailable(error.message) from None
            return ""


_REMEDY = "photochrom verify JOB names every such file, and what to do"


def _expect_ended(job: Job, unfinished: list[int]) -> None:
    if not job.options.get("bag"):
        raise UsageError(f"job {job.id} makes no bag; expected one that was submitted with --bag")
    if job.state != JobState.COMPLETED:
        raise UsageError(f"job {job.id} is {job.state}; a bag is sealed when its job is completed")
    if unfinished:
        still = f"job {unfinished[0]} still writes into {job.destination}"
        raise UsageError(f"{still}; the bag is sealed when that has ended")


def _what_is_wrong(output: Output | None, found_bytes: int) -> str:
    if output is None:
        return "is not the output of any job"
    if output.bytes == found_bytes:
        return "has another content than was stored"
    return f"has {found_bytes} bytes, not the {output.bytes} that were stored"


def _info(job: Job, sealed: Sealed) -> str:
    assert job.finished_at is not None
    tags = {
        "Bag-Software-Agent": f"Photochrom {version('photochrom')}",
        "Bagging-Date": job.finished_at.date().isoformat(),
        "External-Description": f"Scans of {job.source}, colourized by machine; no originals",
        "Internal-Sender-Identifier": f"job {job.id}",
        "Payload-Oxum": f"{sealed.bytes}.{sealed.files}",
    }
    return "".join(f"{name}: {' '.join(text.split())}\n" for name, text in tags.items())


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(destination: str) -> None:
    """Check a bag in a folder with the `bagit` library: every file is there, and the manifest names every file."""
    location = parse_location(destination)
    if not isinstance(location, FolderLocation):
        return
    logging.getLogger("bagit").setLevel(logging.CRITICAL)
    try:
        bagit.Bag(str(location.path)).validate(completeness_only=True)
    except bagit.BagError as error:
        raise UsageError(f"{destination} is not a complete bag ({' '.join(str(error).split())}); {_REMEDY}") from None


def _batches(entries: Iterable[tuple[str, int]], size: int) -> Iterator[list[tuple[str, int]]]:
    left = iter(entries)
    while batch := list(islice(left, size)):
        yield batch


def seal_last(engine: Engine, s3: S3Options) -> Sealed:
    """Seal the destination of the last completed job that makes a bag, also if it is sealed already.

    Raises as `Sealer.seal`.
    """
    with read_scope(engine) as session:
        job_id = lifecycle.last_with_a_bag(session)
    if job_id is None:
        raise UsageError("no job has made a bag here; expected one that was run with --bag: name a new output folder")
    return Sealer(engine, s3=s3).seal(job_id)
