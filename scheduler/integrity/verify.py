"""`photochrom verify`: reads both stores again, and compares each file's SHA-256 with its row."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine

from db.models.jobs import Job, Scan, ScanState
from db.queries.archives import archived_scans
from db.queries.archives import progress as archives
from db.queries.jobs import lifecycle
from db.queries.jobs.samples import SAMPLES
from db.queries.reports.reviews import REDONE
from db.queries.scans import records
from db.session import read_scope
from scheduler.integrity.bag import PREMIS, TAG_FILES, TAG_MANIFEST
from scheduler.integrity.differences import Difference, Verified
from scheduler.report import REPORTS
from worker.errors import ScanError, ServiceUnavailable
from worker.extras import is_installed
from worker.storage import S3Options, Storage, open_storage, parse_location

PAGE_SCANS = 1_000
_ANY_BYTES = 1 << 62


class Verifier:
    """Verifies one job; `progress(verified)` is called after each page of scans."""

    def __init__(
        self, engine: Engine, *, s3: S3Options, threads: int = 8, progress: Callable[[Verified], None] = lambda _: None
    ) -> None:
        self._engine, self._s3, self._threads, self._progress = engine, s3, threads, progress

    def verify(self, job_id: int) -> Verified:
        """Read every source and output of the job's done scans; then list what else is at the destination.

        A file there is extra if it is not the output of any job with this destination. Raises UsageError for an unknown
        job or a missing location, Conflict if the job's rows are archived or deleted (also if that began meanwhile),
        and ServiceUnavailable.
        """
        with read_scope(self._engine) as session:
            job = lifecycle.get(session, job_id)
            archives.expect_rows(session, job_id)
        source, destination = self._open(job.source, is_source=True), self._open(job.destination)
        verified = Verified()
        with (
            tempfile.TemporaryDirectory(prefix="photochrom-verify-") as folder,
            ThreadPoolExecutor(self._threads) as pool,
        ):
            for page in self._pages(job_id):
                current = self._as_stored_last(job, page, verified)
                for checked in pool.map(lambda scan: _check(scan, source, destination, Path(folder)), current):
                    verified.add(checked)
                self._progress(verified)
            with read_scope(self._engine) as session:
                archives.expect_rows(session, job_id)  # of a job that is deleted meanwhile, later pages lack scans
            if job.sealed_at:
                verified.add(_check_bag(destination, Path(folder)))
        verified.differences += self._extra(job, destination)
        return verified

    def _as_stored_last(self, job: Job, page: list[Scan], verified: Verified) -> list[Scan]:
        """The rows to compare with. If a later job made an output again, its row is taken.

        Outputs of other sources are added to the differences. If the later job is archived, nothing is compared,
        because the hash is in its file.
        """
        keys = [scan.output_key for scan in page]
        with read_scope(self._engine) as session:
            latest = records.stored_last(session, job.destination, keys)
            archived = archived_scans.stored_last(session, job.destination, keys)
        current = []
        for scan in page:
            archived_job, archived_at = archived.get(scan.output_key, (0, None))
            last, its_job = latest.get(scan.output_key, (scan, job))
            if archived_at and last.finished_at and archived_at > last.finished_at:
                verified.remade[archived_job] = verified.remade.get(archived_job, 0) + 1
                continue
            if its_job.source == job.source and last.source_key == scan.source_key:
                current.append(last)
                if its_job.id != job.id:
                    verified.remade[its_job.id] = verified.remade.get(its_job.id, 0) + 1
            else:
                other = f"job {its_job.id} stored the output of {its_job.source}/{last.source_key} there"
                verified.differences.append(Difference("output", "replaced", scan.output_key, other))
        return current

    def _open(self, uri: str, *, is_source: bool = False) -> Storage:
        storage = open_storage(parse_location(uri), s3=self._s3, is_source=is_source)
        storage.check()
        return storage

    def _pages(self, job_id: int) -> Iterator[list[Scan]]:
        after = 0
        while True:
            with read_scope(self._engine) as session:
                page = records.of_job(session, job_id, state=ScanState.DONE, after_id=after, limit=PAGE_SCANS)
            if not page:
                return
            yield page
            after = page[-1].id

    def _extra(self, job: Job, destination: Storage) -> Iterator[Difference]:
        for batch in _batches((entry.key for entry in destination.list()), PAGE_SCANS):
            with read_scope(self._engine) as session:
                recorded = records.outputs_at(session, job.destination, batch)
            expected = {*recorded, *(TAG_FILES if job.options.get("bag") else ())}
            strange = (key for key in batch if key not in expected and not key.startswith((REPORTS, REDONE, SAMPLES)))
            yield from (Difference("output", "extra", key) for key in strange)


def _check(scan: Scan, source: Storage, destination: Storage, folder: Path) -> Verified:
    """Read the scan's two files. Returns what was read and what is wrong."""
    checked, path = Verified(), folder / str(scan.id)
    checked.sources += _hold(checked, path, "source", source, scan.source_key, scan.source_sha256)
    path.unlink(missing_ok=True)
    if _hold(checked, path, "output", destination, scan.output_key, scan.output_sha256):
        checked.outputs += 1
        _check_signature(checked, path, scan.output_key)
    path.unlink(missing_ok=True)
    return checked


def _check_signature(checked: Verified, path: Path, key: str) -> None:
    """Compare an output's content credentials, if it has any, with its bytes."""
    if not (is_installed("c2pa") and is_installed("cv2")):
        return
    # Imported here, so that a machine without image libraries can verify everything else.
    from worker.scans import output_format
    from worker.scans.metadata.credentials import signature_of

    signature = signature_of(path, output_format(key, "source"))
    if signature == "valid":
        checked.signed += 1
    elif signature == "expired":
        checked.expired += 1
    elif signature is not None:
        checked.differences.append(Difference("output", "forged", key, f"content credentials: {signature}"))


def _check_bag(destination: Storage, folder: Path) -> Verified:
    """Check the bag's own files with the hashes in its tag manifest."""
    checked, path = Verified(), folder / TAG_MANIFEST
    hashes = dict[str, str]()
    if _hold(checked, path, "bag", destination, TAG_MANIFEST, None):
        for line in path.read_text("utf-8", "replace").splitlines():
            sha256, _, name = line.partition("  ")
            hashes[name] = sha256
    for name in TAG_FILES:
        is_of_an_earlier_release = name == PREMIS and name not in hashes
        if name != TAG_MANIFEST and not is_of_an_earlier_release:
            _hold(checked, folder / name, "bag", destination, name, hashes.get(name))
    return checked


def _hold(checked: Verified, path: Path, side: str, storage: Storage, key: str, expected: str | None) -> bool:
    """Read a file again, and compare it with the expected SHA-256, if there is one.

    Returns whether it could be read.
    """
    try:
        got = storage.fetch(key, path, etag=None, max_bytes=_ANY_BYTES)
    except ScanError as error:
        if not error.permanent:  # the cause is the store or our own disk, not the file
            raise ServiceUnavailable(error.message) from None
        problem = "missing" if error.code == "source_missing" else "unreadable"
        checked.differences.append(Difference(side, problem, key, error.message if problem == "unreadable" else ""))
        return False
    checked.bytes += got.bytes
    if expected is not None and got.sha256 != expected:
        checked.differences.append(Difference(side, "changed", key, f"SHA-256 {got.sha256}, recorded {expected}"))
    return True


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(keys)
    while batch := list(islice(left, size)):
        yield batch
