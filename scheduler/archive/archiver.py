"""Archives and deletes jobs.

First the files are stored and read back; then the rows are deleted in small steps, which delay nobody.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Engine

from db.clock import database_now
from db.models.archives import ArchiveState
from db.models.jobs import Job, Scan
from db.queries.access import audit
from db.queries.archives import progress
from db.queries.archives.progress import Archiving, StoredFiles
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.archive.deletion import Pace, delete_scans
from scheduler.archive.files import ArchiveWriter, count_rows
from scheduler.report import REPORTS
from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.storage import S3Options, Storage, open_storage, parse_location

_PAGE = 1_000
_ANY_BYTES = 1 << 62
_CONTENT_TYPE = "application/vnd.apache.parquet"
_TOUCH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Archived:
    """The result for one job: the place of its archive, the number of scans, and the bytes of both files."""

    job_id: int
    location: str
    scans: int
    bytes: int
    sources_bytes: int


class Archiver:
    """Archives jobs of one database. `show` is called with the number of rows that were written, or deleted, so far."""

    def __init__(
        self,
        engine: Engine,
        *,
        s3: S3Options,
        actor: Actor,
        pace: Pace,
        show: Callable[[str, int], None] = lambda _what, _scans: None,
    ) -> None:
        self._engine, self._s3, self._actor, self._pace, self._show = engine, s3, actor, pace, show
        self._touched = 0.0

    def archive(self, job_id: int) -> Archived:
        """Archive a job, or continue an archiving that was stopped.

        Raises NotFound; Conflict if the job can't be archived or another process is archiving it; UsageError or
        ServiceUnavailable for errors of the store, after which the job is as it was.
        """
        with session_scope(self._engine) as session:
            now = database_now(session)
            archiving = progress.begin(session, job_id, now=now)
            audit.note(session, self._actor.name, self._actor.via, "archive", now=now, job_id=job_id)
        try:
            destination = self._open(archiving.job.destination)
            if archiving.state == ArchiveState.WRITING:
                self._write(archiving, destination)
        except BaseException:
            # Until the files are stored, nothing is deleted. If the database does not answer either, the next call can
            # continue after a minute.
            with session_scope(self._engine) as session:
                progress.abandon(session, archiving)
            raise
        delete_scans(
            self._engine, archiving, self._pace, keeps_traces=True, show=lambda scans: self._show("deleted", scans)
        )
        with session_scope(self._engine) as session:
            scans = progress.finish(session, archiving, now=database_now(session))
            job = session.get_one(Job, job_id)
        sizes = [self._size(destination, key) for key in (job.archive_key, sources_key(job.archive_key or ""))]
        return Archived(job_id, f"{job.destination}/{job.archive_key}", scans, *sizes)

    def _open(self, uri: str) -> Storage:
        return open_storage(parse_location(uri), s3=self._s3)

    def _size(self, destination: Storage, key: str | None) -> int:
        stored = destination.stat(key) if key else None
        return stored.bytes if stored else 0

    def _write(self, archiving: Archiving, destination: Storage) -> None:
        destination.check()
        with tempfile.TemporaryDirectory(prefix="photochrom-archive-") as folder:
            files = self._store(archiving, destination, Path(folder))
        with session_scope(self._engine) as session:
            progress.note_stored(session, archiving, files, now=database_now(session))

    def _store(self, archiving: Archiving, destination: Storage, folder: Path) -> StoredFiles:
        paths = (folder / "scans.parquet", folder / "sources.parquet")
        count = self._write_files(archiving, *paths)
        key = archive_key(archiving)
        keys = (key, sources_key(key))
        hashes = [self._store_one(archiving, destination, *pair, count) for pair in zip(paths, keys, strict=True)]
        return StoredFiles(key, hashes[0], keys[1], hashes[1], count)

    def _write_files(self, archiving: Archiving, scans_path: Path, sources_path: Path) -> int:
        writer = ArchiveWriter(archiving.job, scans_path, sources_path)
        try:
            for page in self._pages(archiving.job.id):
                with read_scope(self._engine) as session:
                    verdicts = reviews.all_of(session, [scan.id for scan in page if scan.verdict is not None])
                writer.write(page, verdicts)
                self._touch(archiving)
                self._show("written", writer.count)
        finally:
            writer.close()
        return writer.count

    def _pages(self, job_id: int) -> Iterator[list[Scan]]:
        after = 0
        while True:
            with read_scope(self._engine) as session:
                page = records.of_job(session, job_id, after_id=after, limit=_PAGE)
            if not page:
                return
            yield page
            after = page[-1].id

    def _touch(self, archiving: Archiving) -> None:
        if time.monotonic() - self._touched >= _TOUCH_SECONDS:
            self._held(archiving)

    def _held(self, archiving: Archiving) -> None:
        self._touched = time.monotonic()
        with session_scope(self._engine) as session:
            progress.touch(session, archiving, now=database_now(session))

    def _store_one(self, archiving: Archiving, destination: Storage, path: Path, key: str, count: int) -> str:
        """Store a file and read it back: its hash, and its rows. Returns the hash."""
        try:
            # This is checked last, so that a process that seemed dead replaces no file of the process that took over.
            stored = destination.store(
                path, key, content_type=_CONTENT_TYPE, before_commit=lambda: self._held(archiving)
            )
            path.unlink()
            again = destination.fetch(key, path, etag=None, max_bytes=_ANY_BYTES)
        except ScanError as error:
            raise (UsageError if error.permanent else ServiceUnavailable)(error.message) from None
        place = f"{destination.uri}/{key}"
        try:
            rows = count_rows(path)
        except (pa.ArrowException, OSError) as error:
            raise ServiceUnavailable(f"{place} can't be read back ({error}); nothing was deleted") from None
        if again.sha256 != stored.sha256 or rows != count:
            raise ServiceUnavailable(f"{place} was read back with another content than was stored; nothing was deleted")
        self._held(archiving)
        return stored.sha256


def archive_key(archiving: Archiving) -> str:
    """The key of the first file, beside the job's report. Each attempt has its own name, so a slow earlier attempt
    can't replace the file.
    """
    job, again = archiving.job, f"-{archiving.attempt}" if archiving.attempt > 1 else ""
    return f"{REPORTS}{job.created_at:%Y-%m-%d}-job-{job.id}{again}.parquet"


def sources_key(key: str) -> str:
    """The key of the second file, from the key of the first."""
    return f"{key.removesuffix('.parquet')}-sources.parquet"
