"""The contents of the job database after a step, and the conditions that they must meet."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.session import read_scope


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

    @classmethod
    def of(cls, engine: Engine) -> "Seen":
        with read_scope(engine) as session:
            found_jobs = session.execute(select(Job.id, Job.state, Job.scan_count, Job.finished_at)).all()
            found_chunks = session.execute(select(*Chunk.__table__.columns)).all()
            found_scans = session.execute(
                select(Scan.id, Scan.job_id, Scan.chunk_id, Scan.state, Scan.output_sha256)
            ).all()
        return cls(
            {row.id: row.state for row in found_jobs},
            {row.id: row.finished_at for row in found_jobs},
            {row.id: row.scan_count for row in found_jobs},
            {row.id: row for row in found_chunks},
            {row.id: row for row in found_scans},
        )

    def check_after(self, before: "Seen") -> None:
        """Jobs and scans changed their states only in allowed ways, and what was done or ended once stayed so."""
        _check_moves(JobState.AFTER, before.jobs, self.jobs)
        _check_moves(ScanState.AFTER, before.states(), self.states())
        for job_id, state in self.jobs.items():
            if state in JobState.ENDED and state == before.jobs.get(job_id):
                assert self.ends[job_id] == before.ends[job_id], "ended twice"
        for scan_id, scan in before.scans.items():
            if scan.state == ScanState.DONE:
                assert self.scans[scan_id].output_sha256 == scan.output_sha256, "recorded done twice"

    def check_counts(self) -> None:
        """The counts in the rows of chunks and jobs are those of their scans."""
        by_chunk: dict[int, Counter[str]] = {}
        by_job: dict[int, Counter[str]] = {}
        for scan in self.scans.values():
            by_chunk.setdefault(scan.chunk_id, Counter())[scan.state] += 1
            by_job.setdefault(scan.job_id, Counter())[scan.state] += 1
        for chunk in self.chunks.values():
            count = by_chunk[chunk.id]
            assert (chunk.scan_count, chunk.done_count, chunk.failed_count, chunk.skipped_count) == (
                count.total(),
                count[ScanState.DONE],
                count[ScanState.FAILED],
                count[ScanState.SKIPPED],
            )
            assert chunk.state != ChunkState.DONE or not count[ScanState.PENDING]
            assert chunk.state != ChunkState.QUEUED or self.jobs[chunk.job_id] == JobState.RUNNING
        for job_id, state in self.jobs.items():
            assert self.scan_counts[job_id] == by_job[job_id].total()
            assert state != JobState.COMPLETED or not by_job[job_id][ScanState.PENDING]


def _check_moves(after: Mapping[str, tuple[str, ...]], before: dict[int, str], now: dict[int, str]) -> None:
    for key, state in now.items():
        old = before.get(key, state)
        assert state == old or old in after[state], f"{old} -> {state}"
