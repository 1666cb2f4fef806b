"""A job database, a folder of pictures that serves as a storage, and ready values of a report."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from db.models.jobs import Chunk, Job, JobState, Scan, ScanState, Tally
from db.models.pool import Worker
from db.session import make_engine
from scheduler.report.data import Bins, Fact, JobFacts, Pair, Picture, ReportData, StageTiming, Totals
from worker.errors import ScanError

SUBMITTED = datetime(2026, 3, 1, 1, 0, tzinfo=UTC)
WORKED: dict[str, Any] = {"seconds": 5.0, "waited_seconds": 1.0, "busy_seconds": 4.0, "scans_per_second": 0.25}
AddScans = Callable[[list[dict[str, Any]]], None]
PIXEL = Picture("data:image/jpeg;base64,AAAA", 4, 3)


@dataclass
class PictureFolder:
    """A storage that can only fetch, from a folder."""

    folder: Path

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> None:
        if not (self.folder / key).exists():
            raise ScanError("source_missing", f"{key!r} is not there any more", permanent=True)
        shutil.copy(self.folder / key, path)


@pytest.fixture
def session(migrated_sqlite_url: str) -> Iterator[Session]:
    engine = make_engine(migrated_sqlite_url)
    with Session(engine) as session:
        session.add(Job(id=7, name="Albums", source="s3://archive/in", destination="s3://archive/out", **_job()))
        session.flush()
        session.add(Chunk(id=1, job_id=7, scan_count=0))
        session.add(Worker(name="gpu1", children=8, device="H100", started_at=SUBMITTED, heartbeat_at=SUBMITTED))
        session.flush()
        yield session


def _job() -> dict[str, Any]:
    return {
        "options": {"format": "jpeg", "quality": 90},
        "state": JobState.COMPLETED,
        "created_at": SUBMITTED,
        "finished_at": SUBMITTED + timedelta(hours=1),
    }


def scan_row(number: int, **changes: Any) -> dict[str, Any]:
    """The row of a scan of job 7 that is done; scan `number` ends one second after the scan before it."""
    row: dict[str, Any] = dict.fromkeys(column.key for column in Scan.__table__.columns)
    row |= {"id": number, "job_id": 7, "chunk_id": 1, "state": ScanState.DONE, "attempts": 1, "output_sha256": "0" * 64}
    row |= {"source_key": f"{number}.png", "output_key": f"{number}.jpg", "width": 4000, "height": 3000, "bit_depth": 8}
    row |= {f"{stage}_ms": 10.0 * number for stage in ("fetch", "open", "wait", "predict", "compose", "store")}
    row |= {"colourfulness": float(number % 100), "worker": "gpu1", "checkpoint": "photochrom-1"}
    row |= {"finished_at": SUBMITTED + timedelta(seconds=number)}
    return row | changes


def failed_row(number: int, code: str, message: str = "ends too early", **changes: Any) -> dict[str, Any]:
    failed = {"state": ScanState.FAILED, "output_sha256": None, "error_code": code, "error_message": message}
    return scan_row(number, **(failed | changes))


@pytest.fixture
def add_scans(session: Session) -> AddScans:
    def add(rows: list[dict[str, Any]]) -> None:
        session.execute(insert(Scan), rows)

    return add


def work(session: Session, scans: int, *, began: datetime, last: datetime) -> None:
    """Record, as workers do, that so many scans of job 7 were done between these two times."""
    counts = {"done_count": scans, "failed_count": 0, "skipped_count": 0}
    session.execute(update(Chunk).values(scan_count=scans, started_at=began, **counts))
    at = {"hour": began.replace(minute=0), "first_at": began, "last_at": last}
    session.add(Tally(chunk_id=1, job_id=7, worker="gpu1", pixels=0, source_bytes=0, **counts, **at))
    session.flush()


@pytest.fixture
def storage(tmp_path: Path) -> PictureFolder:
    """A storage with 1.png to 3.png and the results of the first two; there is no 3.jpg."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for number in (1, 2, 3):
        pyvips.Image.new_from_array(noise[..., 0]).write_to_file(str(tmp_path / f"{number}.png"))
    for number in (1, 2):
        pyvips.Image.new_from_array(noise).copy(interpretation="srgb").write_to_file(str(tmp_path / f"{number}.jpg"))
    return PictureFolder(tmp_path)


@pytest.fixture
def data() -> ReportData:
    """A finished job with one pair, nothing failed."""
    return ReportData(
        job=JobFacts(7, "Albums", "s3://archive/in", "s3://archive/out", "completed", None, SUBMITTED, SUBMITTED),
        totals=Totals(scans=1, done=1, failed=0, skipped=0, pending=0, megapixels=12.0, **WORKED),
        stages=(StageTiming("fetch", 4.2, 17.0),),
        throughput=Bins(1.0, (0,)),  # plots take a while, so there are none here
        colourfulness=Bins(5.0, (0,)),
        median_colourfulness=7.0,
        certainty=Bins(0.05, (0,)),
        median_certainty=None,
        uncertain=0,
        uncertain_below=0.3,
        reasons=(),
        pairs=(pair("1.png"),),
        facts=(Fact("Checkpoint", "photochrom-1"),),
        settings=(Fact("Tries of a scan", "5"),),
        made_at=SUBMITTED,
    )


def pair(key: str, **changes: Any) -> Pair:
    known: dict[str, Any] = {"group": "all", "width": 4000, "height": 3000, "bit_depth": 8, "colourfulness": 7.0}
    return Pair(key=key, **(known | {"certainty": None, "before": PIXEL, "after": PIXEL} | changes))
