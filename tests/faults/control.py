"""How soon commands take effect on a busy pool, and how two jobs share it.

The processes are real, and scans take as long as SLOW says; some jobs have chunks of another size. Each function
returns what it measured, as a sentence.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from db.clock import database_now
from db.models.jobs import ChunkState, JobState
from db.queries.jobs import lifecycle
from db.session import session_scope
from tests.faults.world import Change, World

MOST_SECONDS = 5.0
ROUND_SECONDS = 1.0  # the scheduler's
# With these settings, a chunk that is not interrupted takes longer than the times that are measured.
SLOW = {
    "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "500",
    "PHOTOCHROM_RECORD_SECONDS": "2",
    "PHOTOCHROM_SCHEDULER_ROUND_SECONDS": str(ROUND_SECONDS),
}


def urgent_job_first(world: World) -> str:
    """A small urgent job that is submitted while a long job fills the queue starts within one chunk's time."""
    world.change(**SLOW)
    long = world.submit_also(world.destination)
    world.start("scheduler", "worker-1", "worker-2")
    world.wait(lambda: len(leases(world.changes(), long)) >= 4, 60)
    urgent = world.submit_also(f"{world.destination}-urgent", priority=9, include=("box 0/*", "box 1/*"))
    submitted = world.now()
    world.wait(lambda: world.ended(urgent), 120)
    changes = world.changes()
    one_chunk = max(chunk_seconds(changes))
    first, *_, last = leases(changes, urgent)
    started = (first.at - submitted).total_seconds()
    assert started <= one_chunk + ROUND_SECONDS, f"started after {started:.1f} s, a chunk takes {one_chunk:.1f} s"
    others = [(each.at - first.at).total_seconds() for each in leases(changes, long) if first.at < each.at < last.at]
    until = (last.at - first.at).total_seconds()
    # While the last urgent message is on its way to one worker's child, the other's may begin a chunk of the long job.
    assert len(others) <= 1, (others, until)
    assert all(until - at < ROUND_SECONDS for at in others), (others, until)
    return f"it started after {max(0.0, started):.1f} s; a chunk takes {one_chunk:.1f} s"


def equal_jobs_share(world: World) -> str:
    world.change(**SLOW)
    pair = [world.submit_also(world.destination)]
    world.start("scheduler", "worker-1", "worker-2")
    world.wait(lambda: len(leases(world.changes(), pair[0])) >= 4, 60)
    pair.append(world.submit_also(f"{world.destination}-other"))
    began = world.now()
    world.wait(lambda: len(leases(world.changes(), pair[1])) >= 8, 120)
    counts = Counter(each.job_id for each in leases(world.changes()) if each.at > began)
    first, second = (counts[job] for job in pair)
    # At first, the second job has sent no chunks, and the first job up to three for each of two children.
    assert 8 <= second <= first + 7, counts
    assert first >= 2, counts
    return f"chunks begun from then on: {first} of the older job, {second} of the newer"


def control_is_quick(world: World) -> str:
    """Pause, resume, raise the priority and cancel while both workers are busy with chunks of sixteen seconds."""
    world.change(**SLOW)
    first = world.submit_also(world.destination, chunk_scans=128)
    world.start("scheduler", "worker-1", "worker-2")
    world.wait(lambda: world.out(first) == 2, 60)
    paused = _seconds_until_let_go(world, first, JobState.PAUSED)
    resumed_at = _change(world, first, JobState.RUNNING)
    world.wait(lambda: len(leases(world.changes(), first, resumed_at)) == 2, 30)
    resumed = (leases(world.changes(), first, resumed_at)[0].at - resumed_at).total_seconds()
    other = world.submit_also(f"{world.destination}-other", chunk_scans=8)
    raised = _seconds_until_first_in_line(world, other)
    cancelled = _seconds_until_let_go(world, first, JobState.CANCELLED)
    measured = {"pause": paused, "resume": resumed, "priority": raised, "cancel": cancelled}
    assert all(seconds <= MOST_SECONDS for seconds in measured.values()), measured
    return ", ".join(f"{what} {seconds:.1f} s" for what, seconds in measured.items())


def _seconds_until_let_go(world: World, job_id: int, state: str) -> float:
    """The time from the command until no worker holds a chunk of the job."""
    at = _change(world, job_id, state)
    world.wait(lambda: world.out(job_id) == 0, 30, every=0.05)
    let_go = [each for each in world.changes() if each.job_id == job_id and each.was == ChunkState.LEASED]
    return max(timedelta(), let_go[-1].at - at).total_seconds()


def _seconds_until_first_in_line(world: World, job_id: int) -> float:
    """The time from the command until the broker has chunks of the job, and none of less urgent jobs."""
    with session_scope(world.engine) as session:
        lifecycle.set_priority(session, job_id, 5)
        at = database_now(session)
    world.wait(lambda: world.queued() == {job_id}, 30, every=0.05)
    return (world.now() - at).total_seconds()


def _change(world: World, job_id: int, state: str) -> datetime:
    with session_scope(world.engine) as session:
        lifecycle.change_state(session, job_id, state, now=database_now(session))
        return database_now(session)


def leases(changes: Sequence[Change], job_id: int | None = None, after: datetime | None = None) -> list[Change]:
    """The changes by which a worker claimed a chunk: of this job only, and after this time only, if they are given."""
    return [
        each
        for each in changes
        if each.state == ChunkState.LEASED and job_id in (None, each.job_id) and (after is None or each.at > after)
    ]


def chunk_seconds(changes: Sequence[Change]) -> list[float]:
    """How long a worker held each chunk."""
    began: dict[int, datetime] = {}
    took = []
    for each in changes:
        if each.state == ChunkState.LEASED:
            began[each.chunk_id] = each.at
        elif each.chunk_id in began:
            took.append((each.at - began.pop(each.chunk_id)).total_seconds())
    return took
