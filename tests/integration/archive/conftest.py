"""Jobs whose scans have ended, to be archived into a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.queries.scans import records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.archive.archiver import Archiver
from scheduler.archive.deletion import Pace
from worker.storage import S3Options

ENDED = datetime(2026, 7, 1, 13, tzinfo=UTC)
ADA = Actor("ada")


@dataclass(frozen=True)
class Collection:
    """Jobs of one database with the same source and the same destination folder."""

    engine: Engine
    folder: Path

    @property
    def destination(self) -> str:
        return str(self.folder)

    def job(
        self,
        keys: Sequence[str],
        *,
        failed: Sequence[str] = (),
        state: str = JobState.COMPLETED,
        at: datetime = ENDED,
        source: str = "s3://scans/in",
        options: dict[str, object] | None = None,
    ) -> int:
        """Make a job that has ended with an output for each key, except those in `failed`."""
        listed = [NewScan(key, f"{number:032x}", 1000, f"{key}.jpg") for number, key in enumerate(keys)]
        with session_scope(self.engine) as session:
            made = {"name": "plates", "source": source, "destination": self.destination, "priority": 0, "now": at}
            job_id = lifecycle.create(session, options=options or {"format": "jpeg"}, **made)
            lifecycle.add_scans(session, job_id, listed, chunk_scans=3)
            lifecycle.start(session, job_id, other_count=0)
            if state == JobState.CANCELLED:
                lifecycle.change_state(session, job_id, state, now=at)
        if state != JobState.CANCELLED:
            self.end(job_id, failed=failed, state=state, at=at)
        return job_id

    def end(
        self, job_id: int, *, failed: Sequence[str] = (), state: str = JobState.COMPLETED, at: datetime = ENDED
    ) -> None:
        """Set every scan to done, except those in `failed`."""
        with session_scope(self.engine) as session:
            records.record(session, [_record(scan, at, scan.source_key in failed) for scan in _scans(session, job_id)])
            ended = {"state": ChunkState.DONE, "done_count": Chunk.scan_count}
            session.execute(update(Chunk).where(Chunk.job_id == job_id).values(ended))
            session.execute(update(Job).where(Job.id == job_id).values(state=state, finished_at=at))

    def accept(self, job_id: int, key: str, note: str | None = None) -> None:
        with session_scope(self.engine) as session:
            scans = reviews.outputs(session, job_id, [key])
            reviews.decide(session, scans, "accepted", By("ada", ENDED, note))

    def archiver(self, *, s3: S3Options | None = None, **pace: object) -> Archiver:
        steps = Pace(step_scans=6, rest=0.0, **pace)  # type: ignore[arg-type]
        return Archiver(self.engine, s3=s3 or S3Options(), actor=ADA, pace=steps)

    def live_scans(self, job_id: int) -> list[Scan]:
        with read_scope(self.engine) as session:
            return records.of_job(session, job_id)


def _scans(session: object, job_id: int) -> list[Scan]:
    return records.of_job(session, job_id)  # type: ignore[arg-type]


def _record(scan: Scan, at: datetime, fails: bool) -> ScanRecord:
    if fails:
        return ScanRecord(scan.id, "failed", 3, ScanMeasurements(), "w/1", at, "truncated", "it ends early")
    measured = ScanMeasurements(
        source_sha256=f"{scan.id:064x}",
        output_sha256=f"{scan.id + 1000:064x}",
        output_bytes=5000 + scan.id,
        width=4000,
        height=3000,
        checkpoint="75a72e5a7516",
        fetch_ms=12.3456,
        colourfulness=31.237,
        certainty=0.9,
    )
    return ScanRecord(scan.id, "done", 1, measured, "w/1", at)


@pytest.fixture
def collection(engine: Engine, tmp_path: Path) -> Collection:
    folder = tmp_path / "colour"
    folder.mkdir()
    return Collection(engine, folder)
