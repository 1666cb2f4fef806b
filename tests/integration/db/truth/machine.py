"""Everything that schedulers, workers, people and accidents do to the job database, in steps for hypothesis to combine.

Steps run one after the other, and on PostgreSQL also two at once. After each step, the whole database is checked.
Worlds are small, and many rules choose the same job or chunk again, so that steps that fail only together are tried
together.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, delete

from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.queries.chunks import claims as chunks
from db.queries.chunks import dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.session import session_scope
from tests.integration.db.truth.seen import Seen
from tests.integration.db.truth.steps import CHUNK_ATTEMPTS, LEASE_SECONDS, Holder, Step, Steps
from tests.rows import NOON, make_job

MOST_JOBS = 2
OUTCOMES = st.lists(
    st.sampled_from([ScanState.DONE, ScanState.FAILED, ScanState.FAILED, ScanState.PENDING]), min_size=1, max_size=3
)
PICK = st.integers(0, 1 << 8)  # which of several, modulo their number
CODES = st.sampled_from([None, "truncated", leases.WORKER_KILLED])
# The steps about one chunk that may run at once, in two transactions.
MEETING = ("record", "record_again", "release", "lose", "retry", "pause", "cancel", "dispatch", "complete", "deliver")


class JobTruth(Steps, RuleBasedStateMachine):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.other = ThreadPoolExecutor(1)
        self.now = NOON
        self.sent, self.holders, self.stored = [], [], set()
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
        """A person asks for another state of a job, or for a retry."""
        job_id = self._job(pick)
        if state is None:
            assert self._do(self._retry(job_id, code)) == (self.seen.jobs[job_id] != JobState.CANCELLED)
        else:
            assert self._do(self._change(job_id, state)) == (self.seen.jobs[job_id] in lifecycle.ALLOWED[state])

    # Schedulers. There are several, which do not wait for each other.

    @precondition(lambda self: self.seen.jobs)
    @rule(pick=PICK, what=st.sampled_from(["dispatch", "send again", "take back", "expire", "complete"]))
    def a_scheduler_acts(self, pick: int, what: str) -> None:
        """A scheduler acts on any job. The reason for its choice may be out of date."""
        match what:
            case "dispatch":
                self._do(self._dispatch(self._job(pick), 1 + pick % 4))
            case "send again":
                again = partial(dispatch.take_for_resend, count=2, queued_before=self.now, now=self.now)
                self._do(Step(again, self.sent.extend))
            case "take back":
                self._do(Step(partial(dispatch.take_back, count=2, below_priority=1)))
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
        """Deliver any message that was ever sent: in any order, twice, or late."""
        for _ in range(times):
            self._do(self._deliver(self.sent[pick % len(self.sent)]))

    @precondition(lambda self: self.holders)
    @rule(pick=PICK, meanwhile=st.sampled_from([None, "pause", "cancel", "change hands", *MEETING]), outcomes=OUTCOMES)
    def record(self, pick: int, meanwhile: str | None, outcomes: list[str]) -> None:
        """Record scans after the chunk or its job has changed without its holder's knowledge."""
        holder = self._holder(pick)
        if meanwhile == "change hands":
            self._change_hands(holder)
        elif meanwhile is not None:
            self._do(self._about(holder, meanwhile))
        self._record_rightly(holder, outcomes)

    @precondition(lambda self: self.holders)
    @rule(pick=PICK)
    def record_again(self, pick: int) -> None:
        """Record again, because the connection broke during a commit that had succeeded."""
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
        """Claim a chunk, so that later steps can do something to it."""
        self._do(self._dispatch(self._job(pick), 1))
        for message in self.sent[-1:]:
            self._do(self._deliver(message))

    @precondition(lambda self: self.holders and self.engine.dialect.name == "postgresql")
    @rule(pick=PICK, first=st.sampled_from(MEETING), second=st.sampled_from(MEETING), outcomes=OUTCOMES)
    def two_at_once(self, pick: int, first: str, second: str, outcomes: list[str]) -> None:
        """The second step begins when the first has done its work but has not committed it."""
        holder = self._holder(pick)
        self._record_rightly(holder, outcomes)
        self._do_at_once(self._about(holder, first), self._about(holder, second))

    @rule(state=st.sampled_from([ScanState.DONE, ScanState.FAILED, ScanState.PENDING]))
    def everything_is_worked_off(self, state: str) -> None:
        """End all scans without a fault, so that jobs end and `retry` can start them again."""
        self._run_in_peace(state)

    @precondition(lambda self: self.seen.jobs)
    @rule(child_died=st.booleans())
    def whoever_takes_a_scan_dies(self, child_died: bool) -> None:
        """Each holder of a scan dies: a child, which is noticed at once, or a worker, whose leases expire. No scan is
        tried for ever.
        """
        for _ in range(CHUNK_ATTEMPTS if child_died else CHUNK_ATTEMPTS * leases.INNOCENT):
            self.now += timedelta(seconds=2 * LEASE_SECONDS)  # every lease and every pause is over
            self._everything_is_in_hand()
            for holder in self.holders if child_died else []:
                self._do(self._lose(holder, child_died))
            self.holders.clear()
        self.now += timedelta(seconds=2 * LEASE_SECONDS)
        self.expire()
        left = Seen.of(self.engine)
        for scan in left.scans.values():
            assert (scan.state, left.jobs[scan.job_id]) != (ScanState.PENDING, JobState.RUNNING), "tried for ever"

    # What holds after every step.

    @invariant()
    def the_database_is_true(self) -> None:
        seen = Seen.of(self.engine)
        seen.check_after(self.seen)
        seen.check_counts()
        for scan_id, scan in seen.scans.items():
            assert scan.state != ScanState.DONE or scan_id in self.stored, "done without an output"
        self._check_holders(seen)
        self.seen = seen

    def _check_holders(self, seen: Seen) -> None:
        claims = Counter(each.message for each in self.holders)
        assert all(count == 1 for count in claims.values())
        for holder in self.holders:
            chunk = seen.chunks[holder.message.chunk_id]
            if chunk.state == ChunkState.LEASED and chunk.attempt == holder.message.attempt:
                assert chunk.worker == holder.name

    def teardown(self) -> None:
        """Without further faults, every job that was not cancelled must end."""
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
        """Run one round, in which every scan in hand is recorded with `state`."""
        self._everything_is_in_hand()
        for holder in list(self.holders):
            holder.last = [self._record_of(each, state, holder) for each in holder.in_hand]
            self._do(self._write(holder))
            self._do(self._release(holder, None))
        self.holders.clear()
        self._do(self._complete())

    def _everything_is_in_hand(self) -> None:
        self.expire()
        for job_id in self.seen.jobs:
            with session_scope(self.engine) as session:
                self.sent = dispatch.take_for_dispatch(session, job_id, 1000, now=self.now)
                self.sent += dispatch.take_for_resend(session, 1000, queued_before=self.now, now=self.now)
            for message in self.sent:
                self._do(self._deliver(message))

    def _change_hands(self, holder: Holder) -> None:
        """The holder loses its lease and continues, while another holder may have got the chunk."""
        self._do(self._lose(holder, False))
        self._do(self._dispatch(holder.job_id, 4))
        for message in self.sent[-4:]:
            self._do(self._deliver(message))

    def _job(self, pick: int) -> int:
        return sorted(self.seen.jobs)[pick % len(self.seen.jobs)]

    def _holder(self, pick: int) -> Holder:
        return self.holders[pick % len(self.holders)]
