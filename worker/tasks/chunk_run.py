"""One chunk, from claim to release."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from db.clock import database_now
from db.models.jobs import Job, Scan, ScanState
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage, Claim
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import session_scope
from worker.error_codes import costs_attempt, is_outage, is_skipped
from worker.errors import DatabaseUnavailable, LeaseLost, ScanError
from worker.inference.colour_options import ColourOptions
from worker.observability import scan_events
from worker.observability.logs import log_context
from worker.observability.scan_events import ScanEvent
from worker.observability.stages import Stage
from worker.pipeline.colorize import Assignment, Pipeline
from worker.scans import OutputOptions, output_format
from worker.settings.settings import Settings
from worker.system.wait import try_again
from worker.tasks.child import Child
from worker.tasks.fence import Fence
from worker.tasks.lease import Lease
from worker.tasks.scan_pool import Outcome

T = TypeVar("T")

logger = logging.getLogger(__name__)

_STORE_PAUSE_SECONDS = 5.0  # between two attempts to store an output while the worker has no valid credentials


def _assignment(scan: Scan, job: Job, settings: Settings) -> Assignment:
    # An output's format is in its key, which was made from the job's option when the source was listed.
    output = OutputOptions(
        output_format(scan.output_key, "source"),
        int(job.options["quality"]),
        job.options.get("compression", "deflate"),
        job.options.get("pyramid", False),
        job.options.get("label"),
    )
    skip_colour = job.options.get("colour_scans") != "colourize"
    return Assignment(
        scan.source_key,
        scan.source_etag,
        scan.output_key,
        output,
        digital_source_type=settings.digital_source_type,
        made_at=job.created_at,
        skip_colour=skip_colour,
        colours=ColourOptions.of_job(job.options),
    )


def _event(record: ScanRecord) -> ScanEvent:
    measurements = record.measurements
    return ScanEvent(
        state=record.state,
        code=record.error_code or "",
        pixels=(measurements.width or 0) * (measurements.height or 0),
        source_bytes=measurements.source_bytes or 0,
        output_bytes=measurements.output_bytes or 0,
        stage_ms=tuple(getattr(measurements, stage.column) for stage in Stage),
    )


class ChunkRun:
    """One claimed chunk in a child: colourizes and records its scans, and releases the chunk."""

    def __init__(self, child: Child, claim: Claim, lease: Lease) -> None:
        self._child = child
        self._settings = child.settings
        self._claim = claim
        self._lease = lease
        self._message = ChunkMessage(claim.chunk_id, claim.attempt)
        self._fence = Fence(child.engine, self._message, lease, child.settings.lease_seconds)
        self._next_try: datetime | None = None
        self._pause_seconds = 0.0  # pause before the next attempt of the whole chunk
        self._outages = 0  # consecutive scans that failed because of a service
        self._job_runs = True
        self._is_released = False
        self._lacks_credentials = False
        # Celery's soft limit is not used, because its exception could come between a commit and the code that records
        # it.
        self._hand_back_at = time.monotonic() + child.settings.soft_time_limit_seconds

    def run(self) -> None:
        """Run the chunk. Raises LeaseLost, UsageError if this worker can't work for the job, and any unexpected
        exception.

        The lease is handed back in any case, so that chunks of a faulty worker don't wait until their leases expire.
        """
        try:
            self._colorize_scans()
        except LeaseLost:
            raise
        except Exception:
            self._pause_seconds = self._settings.retry_pause_seconds
            self._patiently(self._release)
            raise
        self._patiently(self._release)

    def _colorize_scans(self) -> None:
        pipeline = self._child.pipeline(
            self._claim.job, still_held=self._fence.is_held, wait_to_store=self._wait_to_store
        )
        outcomes = self._child.scan_pool.colorize(
            self._claim.scans,
            partial(self._colorize, pipeline),
            every_seconds=self._settings.record_seconds,
            stopping=self._is_stopping,
        )
        left = len(self._claim.scans)
        with closing(outcomes):
            for ended in outcomes:
                left -= len(ended)
                if not self._is_released:
                    self._job_runs = self._patiently(partial(self._record, ended, is_last=left == 0))

    def _colorize(self, pipeline: Pipeline, scan: Scan, measurements: ScanMeasurements) -> None:
        """Colourize a scan in a thread of the pool. Such a thread does not inherit the ids for log lines.

        Several threads change this count without a lock. A lost change only costs one more attempt.
        """
        worker = self._child.runtime.worker_name
        with log_context(worker=worker, job=scan.job_id, chunk=scan.chunk_id, scan=scan.id):
            try:
                pipeline.colorize_scan(_assignment(scan, self._claim.job, self._settings), measurements)
            except ScanError as error:
                self._outages = self._outages + 1 if is_outage(error.code) else 0
                if error.code == "credentials":
                    self._lack_credentials()
                raise
            self._outages = 0

    def _is_stopping(self) -> bool:
        return (
            not self._job_runs
            or self._lacks_credentials
            or self._must_hand_back()
            # The other scans would fail too. They do not count as tried, but they wait as long as the failed ones.
            or self._outages >= 2 * self._settings.threads_for()
        )

    def _must_hand_back(self) -> bool:
        return self._child.runtime.is_draining() or time.monotonic() >= self._hand_back_at

    def _lack_credentials(self) -> None:
        """Begin no more scans, in this and later chunks, until the stores accept this worker's credentials."""
        self._lacks_credentials = True
        job, is_public = self._claim.job, self._child.settings.s3_unsigned
        self._child.expect_access(job.destination, *([] if is_public else [job.source]))

    def _wait_to_store(self) -> bool:
        """Called in a scan's thread when the store refused the finished output.

        Waits, and returns whether to try again.
        """
        self._lack_credentials()
        time.sleep(min(_STORE_PAUSE_SECONDS, self._settings.retry_pause_seconds))
        return self._lease.is_held() and not self._must_hand_back()

    def _record(self, outcomes: list[Outcome], *, is_last: bool) -> bool:
        """Record the results of scans and extend the lease. Returns whether the job still runs. Raises LeaseLost.

        is_last: nothing of the chunk is left, and the lease is released in the same transaction. If the answer to its
        commit is lost, the second attempt raises LeaseLost, although the work is done and recorded.
        """
        lease_seconds = self._settings.lease_seconds
        with self._fence.extending(), session_scope(self._child.engine) as session:
            now = database_now(session)
            records = [self._decide(outcome, now) for outcome in outcomes]
            runs = leases.record(session, self._message, records, lease_seconds=lease_seconds, now=now)
            if is_last:
                claims.release(session, self._message, not_before=self._next_try)
        self._is_released = is_last
        scan_events.send(self._child.runtime.scan_event_socket, [_event(record) for record in records])
        for record in records:
            if record.state == ScanState.FAILED:
                logger.info("%s: %s", record.error_code, record.error_message, extra={"scan": record.scan_id})
        return runs

    def _decide(self, outcome: Outcome, now: datetime) -> ScanRecord:
        """The record of a scan: done, skipped, failed, or pending again after a pause that doubles with each
        attempt.
        """
        error = outcome.error
        state = ScanState.DONE
        if error is not None:
            tries = outcome.scan.attempts + 1
            limit = self._settings.outage_attempts if is_outage(error.code) else self._settings.scan_attempts
            last = error.permanent or (costs_attempt(error.code) and tries >= limit)
            ended = ScanState.SKIPPED if is_skipped(error.code) else ScanState.FAILED
            state = ended if last else ScanState.PENDING
            if not last:
                self._next_try = max(self._next_try or now, now + self._pause_after(tries))
        return ScanRecord(
            scan_id=outcome.scan.id,
            state=state,
            attempts=outcome.scan.attempts + (error is None or costs_attempt(error.code)),
            measurements=outcome.measurements,
            worker=self._child.runtime.worker_name,
            finished_at=now,
            error_code=error.code if error else None,
            error_message=error.message if error else None,
        )

    def _pause_after(self, tries: int) -> timedelta:
        doubled = self._settings.retry_pause_seconds * 2 ** min(tries - 1, 32)
        return timedelta(seconds=min(doubled, self._settings.longest_retry_pause_seconds))

    def _patiently(self, write: Callable[[], T]) -> T:
        """Repeat a write while the database does not answer, at most for the time of a lease."""
        return try_again(write, DatabaseUnavailable, seconds=self._settings.lease_seconds)

    def _release(self) -> None:
        if self._is_released:
            return
        with session_scope(self._child.engine) as session:
            if self._pause_seconds:
                self._next_try = database_now(session) + timedelta(seconds=self._pause_seconds)
            claims.release(session, self._message, not_before=self._next_try)
