"""The job database stays true, whatever happens in whatever order. On SQLite and on PostgreSQL.

Hypothesis drives everything that schedulers, workers, people and accidents do to the database, one step after the
other, and looks at the whole of it after each. In the end, the system is left in peace and must finish every job.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, select

from db.errors import LeaseLost, UsageError
from db.models import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.queries import chunks, jobs, leases, queue, scans
from db.queries.chunks import Message
from db.queries.scans import Measured, ScanRecord
from db.session import read_scope, session_scope
from tests.rows import NOON, make_job

# As many as the suite has time for; a thorough search takes many more.
EXAMPLES = int(os.environ.get("TEST_TRUTH_EXAMPLES", "12"))
STEPS = 40
LEASE_SECONDS = 60.0
CHUNK_ATTEMPTS = 3
OUTCOMES = st.sampled_from([ScanState.DONE, ScanState.DONE, ScanState.FAILED, ScanState.PENDING])
PICK = st.integers(0, 1 << 16)  # which of several, modulo their number


@dataclass
class Holder:
    """A child with a chunk in its hands: it may go on long after its lease was lost."""

    message: Message
    name: str
    in_hand: list[int]  # ids of scans
    last: list[ScanRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """All rows after a step, by id."""

    jobs: dict[int, str] = field(default_factory=dict)  # their states
    scan_counts: dict[int, int] = field(default_factory=dict)  # of jobs
    chunks: dict[int, Any] = field(default_factory=dict)
    scans: dict[int, Any] = field(default_factory=dict)

    def states(self) -> dict[int, str]:
        return {scan_id: scan.state for scan_id, scan in self.scans.items()}


class JobTruth(RuleBasedStateMachine):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.now = NOON
        self.sent: list[Message] = []
        self.holders: list[Holder] = []
        self.stored: set[int] = set()  # scans whose output the destination has
        self.seen = Seen()

    @initialize()
    def begin_empty(self) -> None:
        with session_scope(self.engine) as session:
            for table in (Scan, Chunk, Job):
                session.execute(delete(table))

    # People.

    @rule(scan_count=st.integers(1, 7), chunk_scans=st.integers(1, 4), priority=st.integers(0, 1))
    def submit(self, scan_count: int, chunk_scans: int, priority: int) -> None:
        make_job(self.engine, scan_count=scan_count, chunk_scans=chunk_scans, priority=priority, now=self.now)

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, state=st.sampled_from([JobState.PAUSED, JobState.RUNNING, JobState.RUNNING]))
    def pause_or_resume(self, pick: int, state: str) -> None:
        self._change(self._job(pick), state)

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self._change(self._job(pick), JobState.CANCELLED)

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, code=st.sampled_from([None, "truncated", leases.WORKER_KILLED]))
    def retry(self, pick: int, code: str | None) -> None:
        job_id = self._job(pick)
        if self.seen.jobs[job_id] == JobState.CANCELLED:
            with pytest.raises(UsageError), session_scope(self.engine) as session:
                scans.retry_failed(session, job_id, code=code, now=self.now)
            return
        with session_scope(self.engine) as session:
            scans.retry_failed(session, job_id, code=code, now=self.now)

    # Schedulers, several and none in step with another.

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, count=st.integers(1, 4))
    def dispatch(self, pick: int, count: int) -> None:
        """Of any job: what made a scheduler choose it may be out of date."""
        with session_scope(self.engine) as session:
            self.sent += queue.take_for_dispatch(session, self._job(pick), count, now=self.now)

    @rule(count=st.integers(1, 4))
    def send_again(self, count: int) -> None:
        with session_scope(self.engine) as session:
            self.sent += queue.take_for_resend(session, count, queued_before=self.now, now=self.now)

    @rule()
    def expire(self) -> None:
        with session_scope(self.engine) as session:
            for message in chunks.expired(session, now=self.now):
                leases.give_up(session, message, chunk_attempts=CHUNK_ATTEMPTS, now=self.now)

    @rule()
    def complete(self) -> None:
        with session_scope(self.engine) as session:
            jobs.complete_finished(session, now=self.now)

    @rule(seconds=st.sampled_from([1, 20, 70]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # Workers.

    @precondition(lambda self: self.sent)
    @rule(pick=PICK)
    def deliver(self, pick: int) -> None:
        """Any message that was ever sent: in any order, twice, late."""
        self._deliver(self.sent[pick % len(self.sent)])

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, outcomes=st.lists(OUTCOMES, max_size=4))
    def record(self, pick: int, outcomes: list[str]) -> None:
        holder = self.holders[pick % len(self.holders)]
        ids, holder.in_hand = holder.in_hand[: len(outcomes)], holder.in_hand[len(outcomes) :]
        holder.last = [self._record_of(each, state, holder) for each, state in zip(ids, outcomes, strict=False)]
        self._write(holder)

    @precondition(lambda self: self.holders)
    @rule(pick=PICK)
    def record_again(self, pick: int) -> None:
        """The connection broke in the commit, which had gone through."""
        self._write(self.holders[pick % len(self.holders)])

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, pause=st.sampled_from([None, 10]))
    def release(self, pick: int, pause: int | None) -> None:
        holder = self.holders.pop(pick % len(self.holders))
        not_before = self.now + timedelta(seconds=pause) if pause else None
        with session_scope(self.engine) as session:
            chunks.release(session, holder.message, not_before=not_before)

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, noticed=st.booleans(), child_died=st.booleans())
    def crash(self, pick: int, noticed: bool, child_died: bool) -> None:
        holder = self.holders.pop(pick % len(self.holders))
        if noticed:
            self._give_up(holder.message, child_died)

    @precondition(lambda self: self.holders)
    @rule(pick=PICK)
    def wrongly_taken_for_dead(self, pick: int) -> None:
        """Its lease is lost, and it goes on."""
        self._give_up(self.holders[pick % len(self.holders)].message, False)

    @rule(state=OUTCOMES)
    def everything_is_worked_off(self, state: str) -> None:
        """What a while without trouble does, so that ends are reached, and left again by `retry`."""
        self._run_in_peace(state)

    # What holds after every step.

    @invariant()
    def the_database_is_true(self) -> None:
        seen = self._look()
        _check_moves(JobState.AFTER, self.seen.jobs, seen.jobs)
        _check_moves(ScanState.AFTER, self.seen.states(), seen.states())
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
            found_jobs = session.execute(select(Job.id, Job.state, Job.scan_count)).all()
            found_chunks = session.execute(select(*Chunk.__table__.columns)).all()
            found_scans = session.execute(
                select(Scan.id, Scan.job_id, Scan.chunk_id, Scan.state, Scan.output_sha256)
            ).all()
        return Seen(
            {row.id: row.state for row in found_jobs},
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
        self.holders.clear()
        for job_id, state in self.seen.jobs.items():
            if state == JobState.PAUSED:
                self._change(job_id, JobState.RUNNING)
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
                self._deliver(message)
        for holder in self.holders:
            holder.last = [self._record_of(each, state, holder) for each in holder.in_hand]
            self._write(holder)
            with session_scope(self.engine) as session:
                chunks.release(session, holder.message, not_before=None)
        self.holders.clear()
        self.complete()

    def _job(self, pick: int) -> int:
        return sorted(self.seen.jobs)[pick % len(self.seen.jobs)]

    def _change(self, job_id: int, state: str) -> None:
        allowed = self.seen.jobs[job_id] in jobs.ALLOWED[state]
        try:
            with session_scope(self.engine) as session:
                jobs.change_state(session, job_id, state, now=self.now)
        except UsageError:
            assert not allowed
        else:
            assert allowed

    def _deliver(self, message: Message) -> None:
        name = f"machine-{len(self.sent)}/{self.now.timestamp()}-{len(self.holders)}"
        with session_scope(self.engine) as session:
            claim = chunks.claim(session, message, worker=name, lease_seconds=LEASE_SECONDS, now=self.now)
            if claim is not None:
                pending = [scan.id for scan in chunks.pending_scans(session, claim.chunk_id)]
                self.holders.append(Holder(message, name, pending))

    def _record_of(self, scan_id: int, state: str, holder: Holder) -> ScanRecord:
        if state == ScanState.DONE:
            self.stored.add(scan_id)  # before it is recorded, and whether or not the lease is still there
        written = Measured(output_sha256=f"{hash(holder.name):064x}"[-64:] if state == ScanState.DONE else None)
        code = None if state == ScanState.DONE else "truncated"
        return ScanRecord(scan_id, state, 1, written, holder.name, self.now, code, code)

    def _write(self, holder: Holder) -> None:
        try:
            with session_scope(self.engine) as session:
                leases.record(session, holder.message, holder.last, lease_seconds=LEASE_SECONDS, now=self.now)
        except LeaseLost:
            self.holders = [each for each in self.holders if each is not holder]

    def _give_up(self, message: Message, child_died: bool) -> None:
        with session_scope(self.engine) as session:
            leases.give_up(session, message, chunk_attempts=CHUNK_ATTEMPTS, now=self.now, child_died=child_died)


def _check_moves(after: Mapping[str, tuple[str, ...]], before: dict[int, str], now: dict[int, str]) -> None:
    for key, state in now.items():
        old = before.get(key, state)
        assert state == old or old in after[state], f"{old} -> {state}"


def test_whatever_happens_the_job_database_is_true_and_every_job_can_end(engine: Engine) -> None:
    run_state_machine_as_test(
        lambda: JobTruth(engine),
        settings=settings(
            max_examples=EXAMPLES * (3 if engine.dialect.name == "sqlite" else 1),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
