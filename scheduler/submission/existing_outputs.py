"""What a destination has already, so that a submission can leave it out."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import Engine

from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.scans import records
from db.session import read_scope
from scheduler.submission.request import Submission, same_options
from worker.error_codes import OF_THE_SCAN
from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.storage import Storage, StoredObject

_ASKING = 16  # objects asked for at once


class Present:
    """Which scans of a page are missing, as `asked` means it.

    never overwrite: every output that is there is left alone. Only what has changed: an output is left alone when a
    job with the same options made it, with one of `checkpoints`, from a source of the same ETag, and it still has the
    bytes that it had then; a scan that such a job skipped is left alone too. Only what is new: the same, but any job
    with any checkpoint counts, and so does a scan that it found damaged or unfit.
    """

    def __init__(
        self,
        engine: Engine,
        asked: Submission,
        source: Storage,
        destination: Storage,
        *,
        is_new: bool,
        checkpoints: Callable[[], Sequence[str]],
    ) -> None:
        """is_new: the destination is not there yet. checkpoints: asked for only where it matters."""
        self._engine, self._asked, self._source = engine, asked, source
        self._outputs: dict[str, int] = {}  # bytes, by key
        self._checkpoints: Sequence[str] = ()
        self._job_ids: list[int] = []
        if not is_new and (asked.only_changed or asked.overwrite != "always"):
            self._outputs = {found.key: found.bytes for found in destination.list()}
        if asked.only_changed:
            self._checkpoints = checkpoints()
        if asked.only_changed or asked.overwrite == "new":
            with read_scope(engine) as session:
                between = lifecycle.between(session, source.uri, destination.uri)
            alike = [job for job in between if asked.overwrite == "new" or same_options(job.options, asked.options)]
            self._job_ids = [job.id for job in alike]

    def missing(self, page: list[NewScan]) -> list[NewScan]:
        """Raises ServiceUnavailable, UsageError."""
        if self._asked.overwrite == "never":
            return [scan for scan in page if scan.output_key not in self._outputs]
        return self._changed(page) if self._asked.only_changed or self._asked.overwrite == "new" else page

    def _changed(self, page: list[NewScan]) -> list[NewScan]:
        page = self._with_etags(page)
        output_keys = [scan.output_key for scan in page]
        with read_scope(self._engine) as session:
            if self._asked.overwrite == "new":
                done = records.ended_before(session, job_ids=self._job_ids, failed=OF_THE_SCAN, output_keys=output_keys)
            else:
                done = records.done_before(
                    session, job_ids=self._job_ids, checkpoints=self._checkpoints, output_keys=output_keys
                )
        return [scan for scan in page if scan.source_etag is None or not self._is_done(scan, done)]

    def _is_done(self, scan: NewScan, done: set[tuple[str, str | None, int | None]]) -> bool:
        sizes = (self._outputs.get(scan.output_key), -1)
        return any((scan.output_key, scan.source_etag, size) in done for size in sizes)

    def _with_etags(self, page: list[NewScan]) -> list[NewScan]:
        """A manifest need not give ETags; without one nobody knows whether a scan has changed."""
        with ThreadPoolExecutor(_ASKING) as pool:
            return list(pool.map(self._with_etag, page))

    def _with_etag(self, scan: NewScan) -> NewScan:
        found = self._ask(scan.source_key) if scan.source_etag is None else None
        return replace(scan, source_etag=found.etag, source_bytes=found.bytes) if found else scan

    def _ask(self, key: str) -> StoredObject | None:
        try:
            return self._source.stat(key)
        except ScanError as error:
            raise (UsageError if error.permanent else ServiceUnavailable)(error.message) from None
