"""`make report`: the report of a job of 10 000 scans, its size and how long it takes, and the picture in README.

`photochrom run` colours sixty crops of the demo's photographs. The job of 10 000 scans repeats their rows and their
pictures. Prints the figures and exits 1 when one is over its limit.
"""

import argparse
import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyvips
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from db.models.jobs import Chunk, Job, JobState, Scan, ScanState, Tally
from db.queries.scans import records
from db.session import make_engine, read_scope, session_scope
from scheduler.report.store import write_report
from scheduler.standalone import samples
from tests.acceptance.command import photochrom
from tests.browser import screenshot
from worker.settings.settings import Settings

SCANS, CROPS = 10_000, 60
LIMIT_BYTES, LIMIT_SECONDS = 5_000_000, 30
FAILURES = {
    "truncated": "ends after 1.2 of 4.0 MB; expected a whole TIFF",
    "unreadable": "is damaged: libjpeg met an invalid marker",
    "too_large": "has 1,204,000,000 pixels; PHOTOCHROM_MAX_SCAN_PIXELS allows 1,000,000,000",
}


def write_crops(folder: Path) -> None:
    """Write grey crops of the sample photographs, each of a different part."""
    dice = random.Random(1905)
    originals = [sample.original for sample in samples.write_samples(folder / "samples") if sample.original]
    for number in range(CROPS):
        image = pyvips.Image.new_from_file(str(originals[number % len(originals)]))
        share = dice.uniform(0.55, 0.95)
        width, height = int(image.width * share), int(image.height * share)
        left, top = dice.randint(0, image.width - width), dice.randint(0, image.height - height)
        grey = image.crop(left, top, width, height).colourspace("b-w").thumbnail_image(1200)
        path = folder / "scans" / f"box {number // 20 + 1:02}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey.write_to_file(str(path), Q=90)


def multiply(engine: Engine) -> int:
    """Add a job of SCANS scans, which repeats the first job's rows with one in a hundred failed. Returns its number."""
    dice = random.Random(7)
    with read_scope(engine) as session:
        first = session.get_one(Job, 1)
        done = [row for row in records.of_job(session, 1) if row.state == ScanState.DONE]
    began = first.created_at
    columns = [column.key for column in Scan.__table__.columns if column.key != "id"]
    with session_scope(engine) as session:
        job = Job(
            name="Glass plates, 1905 to 1931",
            source=first.source,
            destination=first.destination,
            options=first.options,
            state=JobState.COMPLETED,
            scan_count=SCANS,
            created_at=began,
            finished_at=began + timedelta(hours=3),
        )
        session.add(job)
        session.flush()
        chunk = Chunk(job_id=job.id, scan_count=SCANS)
        session.add(chunk)
        session.flush()
        rows = []
        for number in range(SCANS):
            row = {column: getattr(done[number % len(done)], column) for column in columns}
            row |= {"job_id": job.id, "chunk_id": chunk.id, "output_key": f"{row['output_key']}#{number}"}
            row |= _jittered(row, dice) | {"finished_at": began + timedelta(seconds=number * 1.07 + dice.random() * 60)}
            rows.append(row | (_failed(row, dice) if dice.random() < 0.01 else {}))
        session.execute(insert(Scan), rows)
        _count(session, chunk, rows)
        return job.id


def _count(session: Session, chunk: Chunk, rows: list[dict[str, Any]]) -> None:
    """Update the tallies as workers do, because the pace is computed from them."""
    first, last = (pick(row["finished_at"] for row in rows) for pick in (min, max))
    failed = sum(row["state"] == ScanState.FAILED for row in rows)
    counts = {"done_count": SCANS - failed, "failed_count": failed, "skipped_count": 0}
    for name, count in counts.items():
        setattr(chunk, name, count)
    chunk.started_at = first
    at = {"hour": first.replace(minute=0, second=0, microsecond=0), "first_at": first, "last_at": last}
    totals = {"pixels": 0, "source_bytes": 0}
    session.add(Tally(chunk_id=chunk.id, job_id=chunk.job_id, worker="bench", **counts, **totals, **at))


def _jittered(row: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Change the measurements a little, so that no two scans have the same."""
    timed = [name for name in row if name.endswith("_ms") and row[name] is not None]
    measured = {name: row[name] * dice.lognormvariate(0, 0.3) for name in timed}
    return measured | {"colourfulness": row["colourfulness"] * dice.lognormvariate(0, 0.2)}


def _failed(row: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    code = dice.choice(list(FAILURES))
    message = f"{row['source_key']} {FAILURES[code]}"
    return {"state": ScanState.FAILED, "output_sha256": None, "error_code": code, "error_message": message}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    parser.add_argument("--page", type=Path, help="keep the report here")
    parser.add_argument("--picture", type=Path, help="write what a desktop and a phone show of it here, as JPEG")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photochrom-bench-") as name:
        folder = Path(name)
        write_crops(folder)
        run = photochrom("run", folder / "scans", folder / "colour", folder=folder, timeout_seconds=900)
        assert run.returncode == 0, run.stdout + run.stderr
        engine = make_engine(f"sqlite:///{folder / 'colour' / '.photochrom' / 'photochrom.db'}")
        job_id, page = multiply(engine), asked.page or folder / "report.html"
        _link_outputs(engine, job_id, folder / "colour")
        began = time.monotonic()
        settings = Settings()
        write_report(engine, job_id, page, s3=settings.s3_options, settings=settings)
        seconds, size = time.monotonic() - began, page.stat().st_size
        print(f"report of {SCANS:,} scans: {size / 1e6:.2f} MB (limit 5), made in {seconds:.1f} s (limit 30)")
        if asked.picture:
            screenshot(page, asked.picture)
    return int(size >= LIMIT_BYTES or seconds >= LIMIT_SECONDS)


def _link_outputs(engine: Engine, job_id: int, folder: Path) -> None:
    """Link a file to the output key of each row."""
    with read_scope(engine) as session:
        for row in records.of_job(session, job_id, state=ScanState.DONE):
            (folder / row.output_key).hardlink_to(folder / row.output_key.rpartition("#")[0])


if __name__ == "__main__":
    sys.exit(main())
