"""A hostile or huge file costs a report one picture, and does not use up the scheduler's memory."""

from datetime import timedelta
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import pyvips
from sqlalchemy import Engine

from db.models.jobs import JobState
from db.queries.jobs import lifecycle
from db.queries.reports import due
from db.session import session_scope
from scheduler.report.thumbnails.process import NoPicture, ThumbnailProcess
from tests.rows import NOON, make_job


def test_a_picture_beyond_the_limits_is_named_and_the_next_one_is_made(tmp_path: Path) -> None:
    huge, small, broken = (tmp_path / name for name in ("huge.jpg", "small.jpg", "broken.jpg"))
    # A decoder holds a progressive JPEG completely in memory before it returns the first line: 432 MB here.
    pyvips.Image.black(12_000, 12_000, bands=3).jpegsave(str(huge), interlace=True)
    pyvips.Image.black(60, 40).jpegsave(str(small))
    broken.write_bytes(small.read_bytes()[:40])

    with ThumbnailProcess() as process:
        with pytest.raises(NoPicture, match="more memory than a report may use"):
            process.thumbnail(huge)
        with pytest.raises(NoPicture, match="^broken.jpg ends after 40 bytes; expected a whole JPEG$"):
            process.thumbnail(broken)
        picture = process.thumbnail(small)

    assert (picture.width, picture.height) == (60, 40)


def test_a_jpeg_2000_of_20_megapixels_has_a_picture_each_time(tmp_path: Path) -> None:
    """The C library keeps memory for threads that have ended; even so, there must be enough for the next picture."""
    path = tmp_path / "large.jp2"
    tone = np.linspace(0, 200, 5_000, dtype=np.uint8)[None, :, None] + np.zeros((4_000, 1, 3), np.uint8)
    path.write_bytes(imagecodecs.jpeg2k_encode(tone, level=40, codecformat="jp2", reversible=False))

    with ThumbnailProcess() as process:
        pictures = [process.thumbnail(path) for _ in range(3)]

    assert {(picture.width, picture.height) for picture in pictures} == {(420, 336)}


def test_a_report_that_ends_its_writer_is_tried_three_times(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=NOON)

    claimed = []
    for hour in range(1, 9):
        now = NOON + timedelta(hours=hour)
        with session_scope(engine) as session:
            claimed.append(due.claim(session, now=now, until=now + timedelta(minutes=5)))
            if hour == 1:
                due.put_off(session, job_id)  # the store was away, so this try does not count

    assert claimed == [job_id] * 4 + [None] * 4
