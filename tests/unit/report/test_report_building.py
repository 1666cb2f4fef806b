"""From rows and stored files to the report's values."""

import base64
import io
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from sqlalchemy import update
from sqlalchemy.orm import Session

from db.models.jobs import Chunk, Job, ScanState
from scheduler.report.build import Links, build_report
from scheduler.report.collect import PROBLEMS_LISTED
from scheduler.report.data import Picture, ReportData
from scheduler.report.facts import settings_facts
from scheduler.report.page import render_report
from scheduler.report.thumbnails.data_uri import THUMBNAIL_BYTES, THUMBNAIL_PIXELS, thumbnail
from tests.unit.report.conftest import SUBMITTED, AddScans, PictureFolder, failed_row, scan_row, work
from worker.errors import UsageError
from worker.settings.settings import Settings

Build = Callable[[], ReportData]
NOW = SUBMITTED + timedelta(hours=2)


@pytest.fixture
def build(session: Session, storage: PictureFolder) -> Build:
    return lambda: build_report(session, 7, storage, storage, now=NOW)


def test_totals_count_every_state(add_scans: AddScans, build: Build) -> None:
    pending = scan_row(4, state=ScanState.PENDING, output_sha256=None, width=None, finished_at=None)
    add_scans([scan_row(1), scan_row(2), failed_row(3, "truncated"), pending])
    totals = build().totals

    assert (totals.scans, totals.done, totals.failed, totals.pending) == (4, 2, 1, 1)
    assert totals.megapixels == pytest.approx(24.0)
    assert totals.scans_per_second is None  # no worker has recorded anything


def test_waiting_time_is_shown_and_does_not_count_for_the_pace(
    add_scans: AddScans, session: Session, build: Build
) -> None:
    began, last = SUBMITTED + timedelta(minutes=49), SUBMITTED + timedelta(minutes=59)
    add_scans([scan_row(number, finished_at=last) for number in (1, 2)])
    work(session, 2, began=began, last=last)
    report = build()

    assert report.totals.scans_per_second == pytest.approx(2 / 600)
    assert (report.totals.seconds, report.totals.waited_seconds) == (3600, 49 * 60)
    assert report.throughput.width * len(report.throughput.counts) == 11 * 60  # to the job's end
    assert "waited 49 min 0 s for a worker. Its working time was <b>10 min 0 s</b>" in render_report(report)


def test_stage_timings_are_median_and_95th_percentile(add_scans: AddScans, build: Build) -> None:
    add_scans([scan_row(number, wait_ms=None) for number in range(1, 102)])
    timings = {timing.name: (timing.median_ms, timing.p95_ms) for timing in build().stages}

    assert timings["fetch"] == (510.0, 960.0)
    assert "wait" not in timings


def test_throughput_counts_each_scan_once_whatever_the_workers_clock_says(add_scans: AddScans, build: Build) -> None:
    early, late = SUBMITTED - timedelta(minutes=5), SUBMITTED + timedelta(days=1)
    add_scans([scan_row(1, finished_at=early), scan_row(2, finished_at=late), scan_row(3)])
    throughput = build().throughput

    assert sum(throughput.counts) == 3
    assert throughput.width * len(throughput.counts) == 3600


def test_failures_are_grouped_by_reason_and_skips_follow(add_scans: AddScans, build: Build) -> None:
    skipped = failed_row(4, "already_there", state=ScanState.SKIPPED)
    add_scans([failed_row(1, "truncated"), failed_row(2, "too_large"), failed_row(3, "truncated"), skipped])
    reasons = [(reason.state, reason.code, reason.count) for reason in build().reasons]

    assert reasons == [("failed", "truncated", 2), ("failed", "too_large", 1), ("skipped", "already_there", 1)]


def test_a_failed_scan_leads_to_its_page_where_pages_are_known(
    add_scans: AddScans, session: Session, storage: PictureFolder, build: Build
) -> None:
    add_scans([failed_row(1, "truncated"), failed_row(2, "truncated")])
    links = Links(web_url="https://photochrom.example.org/")
    page = render_report(build_report(session, 7, storage, storage, now=NOW, links=links))

    assert [f'href="https://photochrom.example.org/jobs/7/scans/{number}"' in page for number in (1, 2)] == [True, True]
    assert "/jobs/7/scans/" not in render_report(build())


def test_a_rare_reason_is_listed_beside_a_flood(add_scans: AddScans, build: Build) -> None:
    add_scans([failed_row(number, "truncated") for number in range(1, 1_001)] + [failed_row(2_000, "too_large")])
    flood, rare = build().reasons

    assert flood.unlisted == 1_000 - PROBLEMS_LISTED // 2
    assert rare.first[0].key == "2000.png"


def test_a_small_job_shows_every_scan_and_a_large_one_a_sample(add_scans: AddScans, build: Build) -> None:
    add_scans([scan_row(number) for number in range(1, 25)])
    assert {pair.group for pair in build().pairs} == {"all"}

    add_scans([scan_row(number) for number in range(25, 90)])
    groups = {pair.key: pair.group for pair in build().pairs}
    assert len(groups) == 24
    assert groups["89.png"] == "most colourful"
    assert groups["1.png"] == "least colourful"
    assert list(groups.values()).count("random") == 12


def test_the_sample_is_the_same_every_time(add_scans: AddScans, build: Build) -> None:
    add_scans([scan_row(number, certainty=number / 100) for number in range(1, 90)])

    assert build() == build()


def test_a_pair_has_thumbnails_of_scan_and_result(add_scans: AddScans, build: Build) -> None:
    add_scans([scan_row(1)])
    (pair,) = build().pairs

    assert isinstance(pair.before, Picture)
    assert isinstance(pair.after, Picture)
    assert (pair.after.width, pair.after.height) == (80, 60)


def test_missing_files_and_files_that_are_no_image_become_sentences(
    add_scans: AddScans, build: Build, storage: PictureFolder
) -> None:
    (storage.folder / "2.jpg").write_bytes(b"not an image")
    add_scans([scan_row(2), scan_row(3), scan_row(4)])
    second, third, fourth = build().pairs

    assert second.after == (
        "It begins with the bytes 6e 6f 74 20 61 6e 20 69; expected a JPEG, PNG, TIFF, JPEG 2000 or WebP file"
    )
    assert third.after == "It is not there any more"
    assert fourth.before == "It is not there any more"


def test_a_slow_store_can_t_stall_the_report(
    add_scans: AddScans, session: Session, storage: PictureFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.report.build.PICTURE_SECONDS", 0.2)
    add_scans([scan_row(number) for number in range(1, 20)])
    slow = SlowFolder(storage.folder)
    pairs = build_report(session, 7, slow, slow, now=NOW).pairs

    assert slow.fetched < len(pairs)
    assert "too slow" in str(pairs[-1].before)


class SlowFolder(PictureFolder):
    fetched = 0

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> None:
        self.fetched += 1
        time.sleep(0.2)
        super().fetch(key, path, etag=etag, max_bytes=max_bytes)


def test_a_report_of_10_000_scans_stays_under_5_mb(add_scans: AddScans, session: Session, tmp_path: Path) -> None:
    worst = WorstPicture(tmp_path)
    add_scans([scan_row(number) for number in range(1, 9_001)])
    hostile = {"source_key": "<&" * 512, "message": "<&" * 512}
    add_scans([failed_row(number, f"code_{number % 5}", **hostile) for number in range(9_001, 10_001)])
    html = render_report(build_report(session, 7, worst, worst, now=NOW))

    assert html.count("data:image/jpeg") == 48
    assert len(html.encode()) < 5_000_000


class WorstPicture(PictureFolder):
    """Each file is noise, which compresses worst."""

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
        pyvips.Image.new_from_array(noise).copy(interpretation="srgb").pngsave(str(path), compression=1)


def test_a_job_that_does_not_exist_is_refused(session: Session, storage: PictureFolder) -> None:
    with pytest.raises(UsageError, match="job 8 is not in the database"):
        build_report(session, 8, storage, storage, now=NOW)


def test_no_secret_reaches_the_page(add_scans: AddScans, session: Session, build: Build) -> None:
    session.execute(
        update(Job).values(source="s3://user:hunter2@archive/in", options={"api_token": "hunter2", "format": "png"})
    )
    add_scans([failed_row(1, "storage", "https://user:hunter2@s3.example answered 500")])
    html = render_report(build())

    assert "hunter2" not in html
    assert "https://s3.example answered 500" in html


def test_settings_that_are_shown_hold_no_address_and_no_secret() -> None:
    settings = Settings.model_validate({"database_url": "sqlite:///hunter2.db", "s3_endpoint_url": "http://hunter2"})
    facts = {fact.name: fact.value for fact in settings_facts(settings)}

    assert facts["Tries of a scan"] == "6"
    assert "hunter2" not in str(facts)


def test_checkpoint_worker_options_and_chunks_are_told(add_scans: AddScans, session: Session, build: Build) -> None:
    add_scans([scan_row(1), scan_row(2)])
    session.execute(update(Chunk).values(scan_count=2))
    session.execute(update(Job).values(max_failures=20))
    facts = [(fact.name, fact.value) for fact in build().facts]

    assert ("Checkpoint", "photochrom-1 (2 scans)") in facts
    assert ("Worker", "gpu1, H100 (2 scans)") in facts
    assert ("Format", "jpeg") in facts
    assert ("Chunks", "1, of 2 scans at most") in facts
    assert ("Failed scans allowed", "20") in facts


@pytest.mark.parametrize(
    ("pixels", "interpretation"),
    [
        (np.full((500, 900), 40_000, np.uint16), "grey16"),
        (np.full((500, 900, 4), 200, np.uint8), "srgb"),
        (np.full((500, 900, 4), 100, np.uint8), "cmyk"),
        (np.random.default_rng(0).integers(0, 256, (500, 900, 3), np.uint8), "srgb"),
    ],
)
def test_a_thumbnail_of_any_image_is_a_small_8_bit_jpeg(
    pixels: np.ndarray, interpretation: str, tmp_path: Path
) -> None:
    pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation).write_to_file(str(tmp_path / "a.tif"))
    content = base64.b64decode(re.sub(r"^data:image/jpeg;base64,", "", thumbnail(tmp_path / "a.tif").uri))

    assert len(content) <= THUMBNAIL_BYTES
    assert Image.open(io.BytesIO(content)).mode in ("L", "RGB")
    assert max(Image.open(io.BytesIO(content)).size) == THUMBNAIL_PIXELS


def test_a_jpeg_2000_has_a_thumbnail_too_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((500, 900), 40_000, np.uint16)).save(tmp_path / "a.jp2")
    assert thumbnail(tmp_path / "a.jp2").width == THUMBNAIL_PIXELS
    assert [path.name for path in tmp_path.iterdir()] == ["a.jp2"]
