"""Finds what a destination has already, so that a submission can leave it out."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.models.jobs import JobState
from db.queries.archives import archived_scans
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.scans import records
from db.session import read_scope
from scheduler.submission.key_spool import KeySpool
from scheduler.submission.request import Submission, same_options
from worker.error_codes import DAMAGED, OF_THE_SCAN
from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.storage import Storage, StoredObject
from worker.storage.errors import archived
from worker.storage.locations import is_utf8
from worker.storage.spellings import spellings

LOOKUPS_AT_ONCE = 16  # in a store


@dataclass(frozen=True, slots=True)
class Sorted:
    """A page of scans, sorted by what the submission does with each."""

    missing: list[NewScan]
    present: int = 0  # done already and unchanged
    underway: int = 0  # another job with the same options is going to make them
    accepted: int = 0  # a person accepted the output, or had it made again
    damaged: int = 0  # found damaged before and unchanged
    archived: int = 0  # in cold storage, as an earlier job has recorded; its retry brings them back
    replaced: int = 0  # of `missing`: the destination has an output, which the new one replaces


def as_archived(scan: NewScan) -> NewScan:
    """The scan with the error `archived`, so that it is recorded as failed at once."""
    error = archived(scan.source_key)
    return replace(scan, error_code=error.code, error_message=error.message)


class ExistingOutputs:
    """Sorts out the scans that `request` leaves out, page by page. Close it after the last page.

    | overwrite | left out |
    |---|---|
    | never | every output that is there |
    | changed | outputs that a job with the same options made with one of `checkpoints`, from a source of the same |
    | | ETag, and that still have the bytes that they had then; scans that such a job skipped, or is to make; |
    | | scans that such a job found damaged, from a source of the same ETag; scans in cold storage that such a job |
    | | recorded as archived, if it can be retried |
    | new | the same, whatever the options and the checkpoint were; and scans that were found damaged or unfit |
    | always | nothing |

    An output that a person accepted or had made again is always left out, unless `request.overwrite_accepted`.
    """

    def __init__(
        self,
        engine: Engine,
        request: Submission,
        source: Storage,
        destination: Storage,
        *,
        is_new: bool,
        checkpoints: Callable[[], Sequence[str]],
    ) -> None:
        """is_new: the destination does not exist yet. checkpoints: called only if their ids are needed."""
        self._engine, self._request, self._source = engine, request, source
        self._destination, self._destination_uri = destination, destination.uri
        with read_scope(engine) as session:
            # Without jobs that are still being listed, such as this submission's own job: they have coloured nothing
            # yet.
            before = [job for job in lifecycle.into(session, destination.uri) if job.state != JobState.SUBMITTING]
        between = [job for job in before if job.source == source.uri]
        any_options = request.overwrite == "new"
        alike = [job for job in between if any_options or same_options(job.options, request.options)]
        self._job_ids = [job.id for job in alike]
        self._retried_ids = [job.id for job in alike if job.state != JobState.CANCELLED and job.archive_key is None]
        self._keeps_accepted = bool(before) and not request.overwrite_accepted
        self._compares = request.overwrite in ("changed", "new") and bool(self._job_ids)
        self._checkpoints = checkpoints() if self._compares and request.overwrite == "changed" else ()
        self._outputs = KeySpool()
        # Also if nothing is compared: a person should know how many outputs are replaced.
        if not is_new:
            self._outputs.add((stored.key, stored.bytes) for stored in destination.list() if is_utf8(stored.key))

    def close(self) -> None:
        self._outputs.close()

    def sort(self, page: list[NewScan]) -> Sorted:
        """Raises ServiceUnavailable, UsageError."""
        page_sorted = self._sorted(page)
        coloured_keys = [scan.output_key for scan in page_sorted.missing if scan.error_code is None]
        return replace(page_sorted, replaced=len(self._sizes(coloured_keys)))

    def _sorted(self, page: list[NewScan]) -> Sorted:
        missing, accepted = self._without_accepted(page)
        if self._request.overwrite == "never":
            existing = self._sizes([scan.output_key for scan in missing])
            left = [scan for scan in missing if scan.output_key not in existing]
            return Sorted(self._as_they_are_now(left), present=len(missing) - len(left), accepted=accepted)
        if self._request.overwrite == "always":
            return Sorted(self._as_they_are_now(missing), accepted=accepted)
        # ETags are stored at the first submission too, so that the next one knows which scans have changed.
        missing = self._with_etags(missing)
        if not self._compares:
            return Sorted(self._as_they_are_now(missing), accepted=accepted)
        return replace(self._changed_as_they_are_now(missing), accepted=accepted)

    def _changed_as_they_are_now(self, page: list[NewScan]) -> Sorted:
        """As `_changed`. Scans that an inventory says to be in cold storage are looked up unless they are done."""
        if self._request.manifest is None:
            return self._changed(page)
        first = self._changed(page, with_cold=True)
        cold = [scan for scan in first.missing if scan.error_code is not None]
        last = self._changed(self._as_they_are_now(cold))
        warm = [scan for scan in first.missing if scan.error_code is None]
        return Sorted(
            warm + last.missing,
            present=first.present + last.present,
            underway=first.underway + last.underway,
            damaged=first.damaged + last.damaged,
            archived=last.archived,
        )

    def _without_accepted(self, page: list[NewScan]) -> tuple[list[NewScan], int]:
        if not self._keeps_accepted:
            return page, 0
        with read_scope(self._engine) as session:
            accepted = records.kept(session, self._destination_uri, [scan.output_key for scan in page])
        left = [scan for scan in page if scan.output_key not in accepted]
        return left, len(page) - len(left)

    def _changed(self, page: list[NewScan], *, with_cold: bool = False) -> Sorted:
        """with_cold: scans that an earlier job has recorded as archived count as missing."""
        output_keys = [scan.output_key for scan in page]
        with read_scope(self._engine) as session:
            done = self._ended(session, output_keys)
            damaged = records.failed_last(session, job_ids=self._job_ids, codes=DAMAGED, output_keys=output_keys)
            cold = set() if with_cold else self._archived_before(session, page)
            underway = records.to_be_made(session, job_ids=self._job_ids, output_keys=output_keys)
        sizes = self._sizes(output_keys)
        missing, present, waiting, unfit, archived_before = list[NewScan](), 0, 0, 0, 0
        for scan in page:
            if (scan.output_key, scan.source_etag) in underway:
                waiting += 1
            elif scan.source_etag is not None and _is_done(scan, sizes.get(scan.output_key), done):
                present += 1
            elif scan.source_etag is not None and (scan.output_key, scan.source_etag) in damaged:
                unfit += 1
            elif (scan.output_key, scan.source_etag) in cold:
                archived_before += 1
            else:
                missing.append(scan)
        return Sorted(missing, present, waiting, damaged=unfit, archived=archived_before)

    def _archived_before(self, session: Session, page: list[NewScan]) -> set[tuple[str, str | None]]:
        """The scans in cold storage that an earlier job has recorded as archived, if that job can still be retried."""
        cold_keys = [scan.output_key for scan in page if scan.error_code is not None]
        if not cold_keys or not self._retried_ids:
            return set()
        return records.failed_last(session, job_ids=self._retried_ids, codes={"archived"}, output_keys=cold_keys)

    def _ended(self, session: Session, output_keys: list[str]) -> set[tuple[str, str | None, int | None]]:
        """The scans that are done. Archived ones are read last, so that a scan that is archived meanwhile is found."""
        done = set[tuple[str, str | None, int | None]]()
        for scans in (records, archived_scans):
            if self._request.overwrite == "new":
                done |= scans.ended_before(session, job_ids=self._job_ids, failed=OF_THE_SCAN, output_keys=output_keys)
            else:
                done |= scans.done_before(
                    session, job_ids=self._job_ids, checkpoints=self._checkpoints, output_keys=output_keys
                )
        return done

    def _with_etags(self, page: list[NewScan]) -> list[NewScan]:
        """Add missing ETags from the source.

        A manifest may have none, and without them nobody knows whether a scan has changed.
        """
        return self._each(self._with_etag, page)

    def _each(self, change: Callable[[NewScan], NewScan], page: list[NewScan]) -> list[NewScan]:
        with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
            return list(pool.map(change, page))

    def _as_they_are_now(self, page: list[NewScan]) -> list[NewScan]:
        return page if self._request.manifest is None else self._each(self._as_it_is_now, page)

    def _as_it_is_now(self, scan: NewScan) -> NewScan:
        """The scan without its error `archived` if it was restored since an inventory was made.

        A scan that can't be looked up, as by a missing right to read it, keeps the error: the listing goes on, and a
        retry of the archived scans tries it.
        """
        if scan.error_code is None:
            return scan
        try:
            stored = self._source.stat(scan.source_key)
        except ScanError as error:
            if not error.permanent:
                raise ServiceUnavailable(error.message) from None
            return scan
        if stored is None or stored.is_archived:
            return scan
        return replace(scan, source_etag=stored.etag, source_bytes=stored.bytes, error_code=None, error_message=None)

    def _with_etag(self, scan: NewScan) -> NewScan:
        if scan.source_etag is not None:
            return scan
        stored = look_up(self._source, scan.source_key)
        if stored is None:
            return scan
        scan = replace(scan, source_etag=stored.etag, source_bytes=stored.bytes)
        return as_archived(scan) if stored.is_archived else scan

    def _sizes(self, output_keys: list[str]) -> dict[str, int]:
        """The sizes of those outputs that the destination has.

        A store may list a key in another Unicode form than that in which it was written. Then the store is asked
        whether it takes the two for one.
        """
        sizes = self._outputs.sizes(output_keys)
        for key in output_keys:
            others = [] if key in sizes else spellings(key)[1:]
            if others and self._outputs.sizes(others) and (stored := look_up(self._destination, key)):
                sizes[key] = stored.bytes
        return sizes


def look_up(storage: Storage, key: str) -> StoredObject | None:
    """The object at `key`; None if there is none, or can't be one. Raises UsageError, ServiceUnavailable."""
    try:
        return storage.stat(key)
    except ScanError as error:
        if error.code == "name_too_long":
            return None
        raise (UsageError if error.permanent else ServiceUnavailable)(error.message) from None


def _is_done(scan: NewScan, size: int | None, done: set[tuple[str, str | None, int | None]]) -> bool:
    """Whether the scan is done. The size of a failed scan is -1, because it has no output."""
    return any((scan.output_key, scan.source_etag, bytes_then) in done for bytes_then in (size, -1))
