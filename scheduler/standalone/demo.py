"""`photochrom demo`: colours sample scans from one S3 bucket into another, and shows the results."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.models.jobs import Scan, ScanState
from db.queries.scans import records
from db.session import read_scope
from scheduler.standalone import samples
from scheduler.standalone.contact_sheet import contact_sheet
from scheduler.standalone.samples import SCANS, Sample, psnr, rgb_pixels
from scheduler.standalone.system import System, only_one
from worker.errors import UsageError
from worker.scans import content_type
from worker.storage import S3Options, Storage, open_storage, parse_location

SOURCE, DESTINATION = "s3://photochrom-demo/scans", "s3://photochrom-demo/colour"
BUCKET = "photochrom-demo"
_MARK = ".photochrom-demo"  # marks the folder as a demo's, and is locked while a demo runs

# As many scans as fit one picture, each of another photograph.
SHOWN = (
    "album/1905/pagoda.jpg",
    "album/1931/house cat.png",
    "glass plates/box-07/0001.tif",
    "portraits/astronaut.jpg",
    "workshop/motorcycle.jpg",
)


@dataclass(frozen=True, slots=True)
class Result:
    """One sample after the job. Its colour original is known, so the output can be measured."""

    scan: Scan
    sample: Sample
    output: Path | None
    psnr: float | None  # dB, against the colour original
    grey_psnr: float | None  # dB, of the grey baseline


@contextmanager
def demo_folder(folder: Path) -> Iterator[None]:
    """Empties the folder for the demo, and locks it while the block runs. The files of an earlier demo are removed.

    Raises UsageError if the folder has other contents, is used by another demo, or can't be made.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new or empty folder with --folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise UsageError(
            f"{folder} is not empty and was not made by photochrom demo; name a new or empty folder with --folder"
        )
    with only_one(folder / _MARK):
        for left in folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != _MARK:
                left.unlink()
        yield


def upload_samples(system: System, s3: S3Options) -> list[Sample]:
    """Make the sample scans and put them into a new bucket."""
    written = samples.write_samples(system.folder / "samples")
    assert system.s3 is not None
    system.s3.client().create_bucket(Bucket=BUCKET)
    bucket = open_storage(parse_location(SOURCE), s3=s3)
    for sample in written:
        bucket.store(system.folder / "samples" / SCANS / sample.key, sample.key, content_type=content_type(sample.key))
    return written


def gather(system: System, job_id: int, written: list[Sample], s3: S3Options) -> list[Result]:
    """Download the outputs into `folder`/outputs, and measure them."""
    destination = open_storage(parse_location(DESTINATION), s3=s3)
    by_key = {sample.key: sample for sample in written}
    with read_scope(system.engine) as session:
        rows = records.of_job(session, job_id)
    return [_gather_one(system.folder, row, by_key[row.source_key], destination) for row in rows]


def _gather_one(folder: Path, row: Scan, sample: Sample, destination: Storage) -> Result:
    if row.state != ScanState.DONE:
        return Result(row, sample, None, None, None)
    output = folder / "outputs" / row.output_key
    output.parent.mkdir(parents=True, exist_ok=True)
    destination.fetch(row.output_key, output, etag=None, max_bytes=1 << 40)
    if sample.original is None:
        return Result(row, sample, output, None, None)
    original = rgb_pixels(sample.original)
    grey = rgb_pixels(folder / "samples" / SCANS / sample.key)
    return Result(row, sample, output, psnr(rgb_pixels(output), original), psnr(grey, original))


def only_planted_failed(results: list[Result]) -> bool:
    return all((result.scan.state == ScanState.FAILED) == result.sample.planted_failure for result in results)


def write_before_after(results: list[Result], folder: Path, path: Path) -> None:
    """Write a contact sheet of some results: each scan, its output, and the colour original."""
    rows = [
        (folder / "samples" / SCANS / result.sample.key, result.output, result.sample.original)
        for result in results
        if result.output and result.sample.key in SHOWN
    ]
    contact_sheet(rows, path)
