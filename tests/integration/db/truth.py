"""Everything that schedulers, workers, people and accidents do to the job database, for hypothesis to put together.

One step after the other, and on PostgreSQL two at once. The whole database is looked at after each. Worlds are small,
and many rules name the same job or chunk again, so that what goes wrong only together comes together.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, delete, select, text
from sqlalchemy.orm import Session

from db.errors import LeaseLost, UsageError
from db.models import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.queries import chunks, jobs, leases, queue, retries
from db.queries.chunks import Claim, Message
from db.queries.scans import Measured, ScanRecord
from db.session import read_scope, session_scope
from tests.rows import NOON, make_job

LEASE_SECONDS = 60.0
CHUNK_ATTEMPTS = 3
MOST_JOBS = 2
OUTCOMES = st.lists(
    st.sampled_from([ScanState.DONE, ScanState.FAILED, ScanState.FAILED, ScanState.PENDING]), min_size=1, max_size=3
)
PICK = st.integers(0, 1 << 8)  # which of several, modulo their number
CODES = st.sampled_from([None, "truncated", leases.WORKER_KILLED])
# What may meet in two transactions at once, about one chunk.
MEETING = ("record", "record_again", "release", "lose", "retry", "pause", "cancel", "dispatch", "complete", "deliver")


@dataclass
class Holder:
    """A child with a chunk in its hands: it may go on long after its lease was lost."""

    message: Message
    job_id: int
    name: str
    in_hand: list[int]  # ids of scans
    last: list[ScanRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """All rows after a step, by id."""

    jobs: dict[int, str] = field(default_factory=dict)  # their states
    ends: dict[int, datetime | None] = field(default_factory=dict)  # of jobs
    scan_counts: dict[int, int] = field(default_factory=dict)  # of jobs
    chunks: dict[int, Any] = field(default_factory=dict)
    scans: dict[int, Any] = field(default_factory=dict)

    def states(self) -> dict[int, str]:
        return {scan_id: scan.state for scan_id, scan in self.scans.items()}


class Step(NamedTuple):
    """One transaction, and what the world learns from its result: a LeaseLost or UsageError if it raised that."""

    work: Callable[[Session], Any]
    then: Callable[[Any], None] = lambda result: None


class JobTruth(RuleBasedStateMachine):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.other = ThreadPoolExecutor(1)
        self.now = NOON
        self.sent: list[Message] = []
        self.holders: list[Holder] = []
        self.stored: set[int] = set()  # scans whose output the destination has
        self.seen = Seen()

    @initialize(scan_count=st.integers(1, 3), chunk_scans=st.integers(1, 2))
    def begin(self, scan_count: int, chunk_scans: int) -> None:
        with session_scope(self.engine) as session:
            for table in (Scan, Chunk, Job):
                session.execute(delete(table))
        self.seen.jobs[make_job(self.engine, scan_count=scan_count, chunk_scans=chunk_scans, now=self.now)] = "running"
        self.a_worker_begins(0)

    # People.

    @precondition(lambda self: len(self.seen.jobs) < MOST_JOBS)
    @rule(scan_count=st.integers(1, 3), priority=st.integers(0, 1))
    def submit(self, scan_count: int, priority: int) -> None:
        make_job(self.engine, scan_count=scan_count, chunk_scans=2, priority=priority, now=self.now)

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, state=st.sampled_from([JobState.PAUSED, JobState.RUNNING, JobState.CANCELLED, None]), code=CODES)
    def people_ask(self, pick: int, state: str | None, code: str | None) -> None:
        """For a state, or for another try."""
        job_id = self._job(pick)
        if state is None:
            assert self._do(self._retry(job_id, code)) == (self.seen.jobs[job_id] != JobState.CANCELLED)
        else:
            assert self._do(self._change(job_id, state)) == (self.seen.jobs[job_id] in jobs.ALLOWED[state])

    # Schedulers, several and none in step with another.

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, what=st.sampled_from(["dispatch", "send again", "take back", "expire", "complete"]))
    def a_scheduler_acts(self, pick: int, what: str) -> None:
        """On any job: what made it choose that may be out of date."""
        match what:
            case "dispatch":
                self._do(self._dispatch(self._job(pick), 1 + pick % 4))
            case "send again":
                again = partial(queue.take_for_resend, count=2, queued_before=self.now, now=self.now)
                self._do(Step(again, self.sent.extend))
            case "take back":
                self._do(Step(partial(queue.take_back, count=2, below_priority=1)))
            case "expire":
                self.expire()
            case "complete":
                self._do(self._complete())

    def expire(self) -> None:
        with session_scope(self.engine) as session:
            for message in chunks.expired(session, now=self.now):
                leases.give_up(session, message, chunk_attempts=CHUNK_ATTEMPTS, now=self.now, only_expired=True)

    @rule(seconds=st.sampled_from([1, 20, 70]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # Workers.

    @precondition(lambda self: self.sent)
    @rule(pick=PICK, times=st.integers(1, 2))
    def deliver(self, pick: int, times: int) -> None:
        """Any message that was ever sent: in any order, twice, late."""
        for _ in range(times):
            self._do(self._deliver(self.sent[pick % len(self.sent)]))

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, meanwhile=st.sampled_from([None, "pause", "cancel", "change hands", *MEETING]), outcomes=OUTCOMES)
    def record(self, pick: int, meanwhile: str | None, outcomes: list[str]) -> None:
        """After something else has happened to the chunk or its job, of which its holder knows nothing."""
        holder = self._holder(pick)
        if meanwhile == "change hands":
            self._change_hands(holder)
        elif meanwhile is not None:
            self._do(self._about(holder, meanwhile))
        self._record_rightly(holder, outcomes)

    @precondition(lambda self: self.holders)
    @rule(pick=PICK)
    def record_again(self, pick: int) -> None:
        """The connection broke in the commit, which had gone through."""
        self._do(self._write(self._holder(pick)))

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, pause=st.sampled_from([None, 10]))
    def release(self, pick: int, pause: int | None) -> None:
        self._do(self._release(self._holder(pick), pause))

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, noticed=st.booleans(), child_died=st.booleans())
    def crash(self, pick: int, noticed: bool, child_died: bool) -> None:
        holder = self.holders.pop(pick % len(self.holders))
        if noticed:
            self._do(self._lose(holder, child_died))

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK)
    def a_worker_begins(self, pick: int) -> None:
        """So that there are chunks in hand for what is to go wrong."""
        self._do(self._dispatch(self._job(pick), 1))
        for message in self.sent[-1:]:
            self._do(self._deliver(message))

    @precondition(lambda self: self.holders and self.engine.dialect.name == "postgresql")
    @rule(pick=PICK, first=st.sampled_from(MEETING), second=st.sampled_from(MEETING), outcomes=OUTCOMES)
    def two_at_once(self, pick: int, first: str, second: str, outcomes: list[str]) -> None:
        """The first has done its work, but not committed it, when the second begins."""
        holder = self._holder(pick)
        self._record_rightly(holder, outcomes)
        self._do_at_once(self._about(holder, first), self._about(holder, second))

    @rule(state=st.sampled_from([ScanState.DONE, ScanState.FAILED, ScanState.PENDING]))
    def everything_is_worked_off(self, state: str) -> None:
        """What a while without trouble does, so that ends are reached, and left again by `retry`."""
        self._run_in_peace(state)

    # What holds after every step.

    @invariant()
    def the_database_is_true(self) -> None:
        seen = self._look()
        _check_moves(JobState.AFTER, self.seen.jobs, seen.jobs)
        _check_moves(ScanState.AFTER, self.seen.states(), seen.states())
        for job_id, state in seen.jobs.items():
            if state in JobState.ENDED and state == self.seen.jobs.get(job_id):
                assert seen.ends[job_id] == self.seen.ends[job_id], "ended twice"
        for scan_id, scan in seen.scans.items():
            before = self.seen.scans.get(scan_id)
            if before is not None and before.state == ScanState.DONE:
                assert scan.output_sha256 == before.output_sha256, "recorded done twice"
            assert scan.state != ScanState.DONE or scan_id in self.stored, "done without an output"
        self._check_counts(seen)
        self._check_holders(seen)
        self.seen = seen

    def _look(self) -> Seen:
        with read_scope(self.engine) as session:
            found_jobs = session.execute(select(Job.id, Job.state, Job.scan_count, Job.finished_at)).all()
            found_chunks = session.execute(select(*Chunk.__table__.columns)).all()
            found_scans = session.execute(
                select(Scan.id, Scan.job_id, Scan.chunk_id, Scan.state, Scan.output_sha256)
            ).all()
        return Seen(
            {row.id: row.state for row in found_jobs},
            {row.id: row.finished_at for row in found_jobs},
            {row.id: row.scan_count for row in found_jobs},
            {row.id: row for row in found_chunks},
            {row.id: row for row in found_scans},
        )

    def _check_counts(self, seen: Seen) -> None:
        by_chunk: dict[int, Counter[str]] = {}
        by_job: dict[int, Counter[str]] = {}
        for scan in seen.scans.values():
            by_chunk.setdefault(scan.chunk_id, Counter())[scan.state] += 1
            by_job.setdefault(scan.job_id, Counter())[scan.state] += 1
        for chunk in seen.chunks.values():
            count = by_chunk[chunk.id]
            assert (chunk.scan_count, chunk.done_count, chunk.failed_count, chunk.skipped_count) == (
                count.total(),
                count[ScanState.DONE],
                count[ScanState.FAILED],
                count[ScanState.SKIPPED],
            )
            assert chunk.state != ChunkState.DONE or not count[ScanState.PENDING]
            assert chunk.state != ChunkState.QUEUED or seen.jobs[chunk.job_id] == JobState.RUNNING
        for job_id, state in seen.jobs.items():
            assert seen.scan_counts[job_id] == by_job[job_id].total()
            assert state != JobState.COMPLETED or not by_job[job_id][ScanState.PENDING]

    def _check_holders(self, seen: Seen) -> None:
        claims = Counter(each.message for each in self.holders)
        assert all(count == 1 for count in claims.values())
        for holder in self.holders:
            chunk = seen.chunks[holder.message.chunk_id]
            if chunk.state == ChunkState.LEASED and chunk.attempt == holder.message.attempt:
                assert chunk.worker == holder.name

    def teardown(self) -> None:
        """In peace, every job that was not cancelled ends, from wherever it was left."""
        try:
            self._end_in_peace()
        finally:
            self.other.shutdown()

    def _end_in_peace(self) -> None:
        self.holders.clear()
        for job_id, state in self.seen.jobs.items():
            if state == JobState.PAUSED:
                self._do(self._change(job_id, JobState.RUNNING))
        self.the_database_is_true()
        for _ in range(CHUNK_ATTEMPTS):
            self.now += timedelta(seconds=2 * LEASE_SECONDS)
            self._run_in_peace(ScanState.DONE)
            self.the_database_is_true()
        assert set(self.seen.jobs.values()) <= set(JobState.ENDED)

    def _run_in_peace(self, state: str) -> None:
        """One round in which every scan that is found comes to `state`."""
        self.expire()
        for job_id in self.seen.jobs:
            with session_scope(self.engine) as session:
                self.sent = queue.take_for_dispatch(session, job_id, 1000, now=self.now)
                self.sent += queue.take_for_resend(session, 1000, queued_before=self.now, now=self.now)
            for message in self.sent:
                self._do(self._deliver(message))
        for holder in list(self.holders):
            holder.last = [self._record_of(each, state, holder) for each in holder.in_hand]
            self._do(self._write(holder))
            self._do(self._release(holder, None))
        self.holders.clear()
        self._do(self._complete())

    def _change_hands(self, holder: Holder) -> None:
        """Its lease is lost, perhaps another's by now, and it goes on."""
        self._do(self._lose(holder, False))
        self._do(self._dispatch(holder.job_id, 4))
        for message in self.sent[-4:]:
            self._do(self._deliver(message))

    # The steps, each a transaction.

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
        return Step(lambda session: jobs.change_state(session, job_id, state, now=self.now))

    def _retry(self, job_id: int, code: str | None) -> Step:
        return Step(lambda session: retries.retry_failed(session, job_id, code=code, now=self.now))

    def _complete(self) -> Step:
        return Step(lambda session: jobs.complete_finished(session, now=self.now))

    def _dispatch(self, job_id: int, count: int) -> Step:
        take = partial(queue.take_for_dispatch, job_id=job_id, count=count, now=self.now)
        return Step(take, lambda result: self.sent.extend(result if isinstance(result, list) else []))

    def _deliver(self, message: Message) -> Step:
        name = f"machine-{len(self.sent)}/{self.now.timestamp()}-{len(self.holders)}"

        def work(session: Session) -> tuple[Claim, list[int]] | None:
            claim = chunks.claim(session, message, worker=name, lease_seconds=LEASE_SECONDS, now=self.now)
            return (claim, [scan.id for scan in chunks.pending_scans(session, claim.chunk_id)]) if claim else None

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

        return Step(lambda session: chunks.release(session, holder.message, not_before=not_before), then)

    def _lose(self, holder: Holder, child_died: bool) -> Step:
        lose = partial(leases.give_up, message=holder.message, chunk_attempts=CHUNK_ATTEMPTS, now=self.now)
        return Step(partial(lose, child_died=child_died))

    def _record_rightly(self, holder: Holder, outcomes: list[str]) -> None:
        """Who has the lease can record, and nobody else."""
        with read_scope(self.engine) as session:
            chunk = session.get_one(Chunk, holder.message.chunk_id)
        held = (chunk.state, chunk.attempt, chunk.worker) == (ChunkState.LEASED, holder.message.attempt, holder.name)
        assert self._do(self._record(holder, outcomes)) == held, "a stale attempt recorded, or one that holds could not"

    def _record_of(self, scan_id: int, state: str, holder: Holder) -> ScanRecord:
        if state == ScanState.DONE:
            self.stored.add(scan_id)  # before it is recorded, and whether or not the lease is still there
        written = Measured(output_sha256=f"{hash(holder.name):064x}"[-64:] if state == ScanState.DONE else None)
        code = None if state == ScanState.DONE else "truncated"
        return ScanRecord(scan_id, state, 1, written, holder.name, self.now, code, code)

    def _do(self, step: Step) -> bool:
        """Whether it was allowed."""
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
        second.then(running.result(30) if running else _outcome(self.engine, second.work))

    def _job(self, pick: int) -> int:
        return sorted(self.seen.jobs)[pick % len(self.seen.jobs)]

    def _holder(self, pick: int) -> Holder:
        return self.holders[pick % len(self.holders)]


def _outcome(engine: Engine, work: Callable[[Session], Any]) -> Any:
    try:
        with session_scope(engine) as session:
            return work(session)
    except (LeaseLost, UsageError) as error:
        return error


def wait_until_blocked(engine: Engine, future: "Future[Any]") -> None:
    """Until the other transaction waits for a lock, or has ended without one."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    while not future.done():
        with read_scope(engine) as session:
            if session.scalar(waiting):
                return


def _check_moves(after: Mapping[str, tuple[str, ...]], before: dict[int, str], now: dict[int, str]) -> None:
    for key, state in now.items():
        old = before.get(key, state)
        assert state == old or old in after[state], f"{old} -> {state}"
