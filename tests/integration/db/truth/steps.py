"""What workers, people and schedulers do to the job database, each step one transaction; on PostgreSQL two at once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.errors import LeaseLost, UsageError
from db.models.jobs import Chunk, ChunkState, JobState, ScanState
from db.queries.chunks import claims, dispatch
from db.queries.chunks.claims import ChunkMessage, Claim
from db.queries.jobs import lifecycle, retries
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from tests.waiting import PATIENCE_SECONDS

LEASE_SECONDS = 60.0
CHUNK_ATTEMPTS = 3


@dataclass
class Holder:
    """A child that holds a chunk. It may continue long after its lease was lost."""

    message: ChunkMessage
    job_id: int
    name: str
    in_hand: list[int]  # ids of scans
    last: list[ScanRecord] = field(default_factory=list)


class Step(NamedTuple):
    """One transaction, and a function that gets its result, or the LeaseLost or UsageError that it raised."""

    work: Callable[[Session], Any]
    then: Callable[[Any], None] = lambda result: None


class Steps:
    """The part of the world that steps need: the sent messages, the holders of chunks, the stored outputs."""

    engine: Engine
    other: ThreadPoolExecutor
    now: datetime
    sent: list[ChunkMessage]
    holders: list[Holder]
    stored: set[int]  # scans whose output the destination has

    def _about(self, holder: Holder, what: str) -> Step:
        """A step about the chunk that `holder` has, or had."""
        match what:
            case "record":
                return self._record(holder, [ScanState.FAILED])
            case "record_again":
                return self._write(holder)
            case "release":
                return self._release(holder, None)
            case "lose":
                return self._lose(holder, False)
            case "retry":
                return self._retry(holder.job_id, None)
            case "pause" | "cancel":
                return self._change(holder.job_id, JobState.PAUSED if what == "pause" else JobState.CANCELLED)
            case "dispatch":
                return self._dispatch(holder.job_id, 4)
            case "deliver":
                return self._deliver(self.sent[-1] if self.sent else holder.message)
        return self._complete()

    def _change(self, job_id: int, state: str) -> Step:
        return Step(lambda session: lifecycle.change_state(session, job_id, state, now=self.now))

    def _retry(self, job_id: int, code: str | None) -> Step:
        return Step(lambda session: retries.retry_failed(session, job_id, code=code, now=self.now))

    def _complete(self) -> Step:
        return Step(lambda session: lifecycle.complete_finished(session, now=self.now))

    def _dispatch(self, job_id: int, count: int) -> Step:
        take = partial(dispatch.take_for_dispatch, job_id=job_id, count=count, now=self.now)
        return Step(take, lambda result: self.sent.extend(result if isinstance(result, list) else []))

    def _deliver(self, message: ChunkMessage) -> Step:
        name = f"machine-{len(self.sent)}/{self.now.timestamp()}-{len(self.holders)}"

        def work(session: Session) -> tuple[Claim, list[int]] | None:
            claim = claims.claim(session, message, worker=name, lease_seconds=LEASE_SECONDS, now=self.now)
            return (claim, [scan.id for scan in claims.pending_scans(session, claim.chunk_id)]) if claim else None

        def then(result: Any) -> None:
            if isinstance(result, tuple):
                self.holders.append(Holder(message, result[0].job.id, name, result[1]))

        return Step(work, then)

    def _record(self, holder: Holder, outcomes: list[str]) -> Step:
        ids, holder.in_hand = holder.in_hand[: len(outcomes)], holder.in_hand[len(outcomes) :]
        holder.last = [self._record_of(each, state, holder) for each, state in zip(ids, outcomes, strict=False)]
        return self._write(holder)

    def _write(self, holder: Holder) -> Step:
        def work(session: Session) -> bool:
            return leases.record(session, holder.message, holder.last, lease_seconds=LEASE_SECONDS, now=self.now)

        def then(result: Any) -> None:
            if isinstance(result, LeaseLost):
                self.holders = [each for each in self.holders if each is not holder]

        return Step(work, then)

    def _release(self, holder: Holder, pause: int | None) -> Step:
        not_before = self.now + timedelta(seconds=pause) if pause else None

        def then(result: Any) -> None:
            self.holders = [each for each in self.holders if each is not holder]

        return Step(lambda session: claims.release(session, holder.message, not_before=not_before), then)

    def _lose(self, holder: Holder, child_died: bool) -> Step:
        lose = partial(leases.give_up, message=holder.message, chunk_attempts=CHUNK_ATTEMPTS, now=self.now)
        return Step(partial(lose, child_died=child_died))

    def _record_rightly(self, holder: Holder, outcomes: list[str]) -> None:
        """Only the holder of the lease can record."""
        with read_scope(self.engine) as session:
            chunk = session.get_one(Chunk, holder.message.chunk_id)
        held = (chunk.state, chunk.attempt, chunk.worker) == (ChunkState.LEASED, holder.message.attempt, holder.name)
        assert self._do(self._record(holder, outcomes)) == held, "a stale attempt recorded, or one that holds could not"

    def _record_of(self, scan_id: int, state: str, holder: Holder) -> ScanRecord:
        if state == ScanState.DONE:
            self.stored.add(scan_id)  # before it is recorded, and whether or not the lease is still there
        written = ScanMeasurements(output_sha256=f"{hash(holder.name):064x}"[-64:] if state == ScanState.DONE else None)
        code = None if state == ScanState.DONE else "truncated"
        return ScanRecord(scan_id, state, 1, written, holder.name, self.now, code, code)

    def _do(self, step: Step) -> bool:
        """Run a step, and return whether it was allowed."""
        result = _outcome(self.engine, step.work)
        step.then(result)
        return not isinstance(result, Exception)

    def _do_at_once(self, first: Step, second: Step) -> None:
        running: Future[Any] | None = None
        result: Any = None
        try:
            with session_scope(self.engine) as session:
                result = first.work(session)
                running = self.other.submit(_outcome, self.engine, second.work)
                wait_until_blocked(self.engine, running)
        except (LeaseLost, UsageError) as error:
            result = error
        first.then(result)
        second.then(running.result(PATIENCE_SECONDS) if running else _outcome(self.engine, second.work))


def _outcome(engine: Engine, work: Callable[[Session], Any]) -> Any:
    try:
        with session_scope(engine) as session:
            return work(session)
    except (LeaseLost, UsageError) as error:
        return error


def wait_until_blocked(engine: Engine, future: "Future[Any]") -> None:
    """Wait until the other transaction waits for a lock, or has ended without waiting."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    while not future.done():
        with read_scope(engine) as session:
            if session.scalar(waiting):
                return
