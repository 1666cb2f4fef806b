"""On both databases, the views agree with the rows, and docs/queries.md describes the views."""

import random
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from db.models.jobs import Scan
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle, retries
from db.queries.pages.scans import Colours, folder_colours
from db.queries.scans import leases, review_weight
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.report.outliers import FAR, ab_distances, distances
from tests.rows import NOON, make_job

PAGE = (Path(__file__).parents[3] / "docs" / "queries.md").read_text()
VIEWS = re.findall(r"^### (\w+):", PAGE, re.M)
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.S)

DONE = ScanMeasurements(width=4000, height=3000, output_sha256="f", source_bytes=1000, colourfulness=30.0)


def work(engine: Engine, job_id: int, *, after: timedelta, worker: str = "w", failed: int = 0) -> None:
    """Claim one chunk, and end it a minute later; the first `failed` of its scans fail."""
    at = NOON + after
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=at)
        claims.claim(session, message, worker=f"{worker}/7", lease_seconds=600, now=at)
        records = [
            _record(scan.id, worker, at + timedelta(minutes=1), fails=number < failed)
            for number, scan in enumerate(claims.pending_scans(session, message.chunk_id))
        ]
        leases.record(session, message, records, lease_seconds=600, now=at + timedelta(minutes=1))
        claims.release(session, message, not_before=None)


def _record(scan_id: int, worker: str, at: object, *, fails: bool) -> ScanRecord:
    what = (
        {
            "state": "failed",
            "error_code": "truncated",
            "error_message": "it ends early",
            "measurements": ScanMeasurements(),
        }
        if fails
        else {"state": "done", "measurements": DONE}
    )
    return ScanRecord(scan_id=scan_id, attempts=1, worker=worker, finished_at=at, **what)


def ask(engine: Engine, query: str) -> list[dict[str, object]]:
    with read_scope(engine) as session:
        return [dict(row) for row in session.execute(text(query)).mappings()]


@pytest.fixture
def worked(engine: Engine) -> Engine:
    """Ten scans in five chunks; four chunks are worked on over two hours with a pause, by two workers."""
    job_id = make_job(engine, scan_count=10, chunk_scans=2)
    work(engine, job_id, after=timedelta(minutes=0), failed=1)
    work(engine, job_id, after=timedelta(minutes=1))
    work(engine, job_id, after=timedelta(minutes=90))
    work(engine, job_id, after=timedelta(minutes=91), worker="other", failed=2)
    return engine


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_that_its_page_names(engine: Engine, view: str) -> None:
    section = PAGE.split(f"### {view}:")[1].split("###")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)]

    assert sorted(column["name"] for column in inspect(engine).get_columns(view)) == sorted(named)


def test_every_view_is_on_the_page(engine: Engine) -> None:
    assert sorted(inspect(engine).get_view_names()) == sorted(VIEWS)


@pytest.mark.parametrize("query", QUERIES, ids=[re.sub(r"\W+", "-", query)[:40] for query in QUERIES])
def test_a_ready_query_runs(worked: Engine, query: str) -> None:
    with read_scope(worked) as session:
        session.execute(text(query.replace("box 1/0012.tif", "box/1.jpg"))).all()


def test_progress_counts_and_leaves_idle_time_out_of_the_pace(worked: Engine) -> None:
    [row] = ask(worked, "SELECT * FROM job_progress")

    assert [row[name] for name in ("scans", "done", "failed", "skipped", "pending")] == [10, 5, 3, 0, 2]
    assert row["busy_seconds"] == pytest.approx(3 * 60, abs=0.01)  # 12:00 to 12:02, and 13:31 to 13:32
    assert row["scans_per_second"] == pytest.approx(8 / 180)
    assert row["megapixels"] == pytest.approx(60)


def test_failures_are_counted_by_code_with_an_example(worked: Engine) -> None:
    [row] = ask(worked, "SELECT job_id, error_code, scans, example_key, example_message FROM job_failures")

    assert list(row.values()) == [1, "truncated", 3, "box/0.jpg", "it ends early"]


def test_throughput_is_told_by_the_hour(worked: Engine) -> None:
    rows = ask(worked, "SELECT done, failed, workers FROM throughput_by_hour ORDER BY hour")

    assert [tuple(row.values()) for row in rows] == [(3, 1, 1), (2, 2, 2)]


def test_the_ready_query_for_days_tells_days_apart(worked: Engine) -> None:
    work(worked, 1, after=timedelta(days=2))
    [query] = [each for each in QUERIES if "AS day" in each]

    days = ask(worked, query.replace("ORDER BY day DESC", "ORDER BY day"))

    assert [(str(row["day"]), row["done"], row["failed"]) for row in days] == [
        ("2026-07-01", 5, 3),
        ("2026-07-03", 2, 0),
    ]


def test_throughput_follows_a_retry(worked: Engine) -> None:
    with session_scope(worked) as session:
        retries.retry_failed(session, 1, now=NOON)

    assert ask(worked, "SELECT sum(failed) AS failed, sum(done) AS done FROM throughput_by_hour") == [
        {"failed": 0, "done": 5}
    ]


def test_a_scan_s_history_is_over_all_jobs(worked: Engine) -> None:
    make_job(worked, scan_count=3, now=NOON + timedelta(days=1))

    rows = ask(
        worked, "SELECT job_id, state FROM scan_history WHERE source_key = 'box/0.jpg' ORDER BY submitted_at DESC"
    )

    assert [tuple(row.values()) for row in rows] == [(2, "pending"), (1, "failed")]


def test_a_worker_s_activity_is_its_own(worked: Engine) -> None:
    from db.models.pool import Worker
    from db.queries.pool import workers

    with session_scope(worked) as session:
        for name in ("w", "other", "idle"):
            workers.register(session, Worker(name=name, children=1, started_at=NOON, heartbeat_at=NOON))
        [message] = dispatch.take_for_dispatch(session, 1, 1, now=NOON)
        claims.claim(session, message, worker="w/7", lease_seconds=600, now=NOON)

    rows = ask(worked, "SELECT worker, done, failed, chunks_held FROM worker_activity ORDER BY worker")
    assert [tuple(row.values()) for row in rows] == [("idle", 0, 0, 0), ("other", 0, 2, 0), ("w", 5, 1, 1)]


def test_the_queue_has_exactly_what_weighs_and_says_why(engine: Engine) -> None:
    """The limits exist twice, in Python and in the view, so both must give the same result for random outputs."""
    job_id, dice = make_job(engine, scan_count=300), random.Random(7)
    measured = [_random(dice) for _ in range(300)]
    with session_scope(engine) as session:
        ids = [scan.id for scan in scans.of_job(session, job_id)]
        records = [ScanRecord(each, "done", 1, what, "w", NOON) for each, what in zip(ids, measured, strict=True)]
        scans.record(session, records)

    found = {row["scan_id"]: row for row in ask(engine, "SELECT scan_id, reasons, weight FROM review_queue")}

    weights = {each: review_weight.weight(what) for each, what in zip(ids, measured, strict=True)}
    assert {each: row["weight"] for each, row in found.items()} == {
        each: pytest.approx(weight) for each, weight in weights.items() if weight is not None
    }
    assert 0 < len(found) < 300
    assert all(row["reasons"] for row in found.values())


def test_the_view_of_outliers_and_the_pages_use_the_same_limits(engine: Engine) -> None:
    job_id, dice = make_job(engine, scan_count=60), random.Random(3)
    folders = ["", "a/", "a/b/", "A/", "a b/", "few/"]
    values: dict[str, dict[int, Colours]] = {folder: {} for folder in folders}
    with session_scope(engine) as session:
        for number, scan in enumerate(scans.of_job(session, job_id)):
            folder = folders[number % 5] if number % 10 or number > 40 else "few/"
            scan.source_key = f"{folder}{number}.jpg"
            colourfulness = round(dice.gauss(20, 4 if folder else 0.1) + 40 * (dice.random() < 0.15), 1)
            ab = (dice.gauss(6, 3 if folder else 0.1), dice.gauss(14, 2) - 40 * (dice.random() < 0.1))
            colours = Colours(colourfulness, None if folder == "A/" and number % 3 else ab)
            values[folder][scan.id] = colours
            measured = ScanMeasurements(colourfulness=colourfulness, output_sha256="f")
            measured.mean_a, measured.mean_b = colours.mean_ab or (None, None)
            session.flush()
            scans.record(session, [ScanRecord(scan.id, "done", 1, measured, "w", NOON)])

    rows = ask(engine, "SELECT folder, scan_id, furthest FROM folder_outliers")

    furthest = {(folder, scan_id): value for folder in folders for scan_id, value in _furthest(values[folder]).items()}
    expected = {key: pytest.approx(value) for key, value in furthest.items() if value > FAR}
    assert {(row["folder"], row["scan_id"]): row["furthest"] for row in rows} == expected
    assert len({folder for folder, _ in expected}) > 2
    with read_scope(engine) as session:
        for of_folder in values.values():
            scan = session.get_one(Scan, next(iter(of_folder)))
            assert folder_colours(session, scan, limit=99) == of_folder


def _furthest(of_folder: dict[int, Colours]) -> dict[int, float]:
    by_colourfulness = distances(colours.colourfulness for colours in of_folder.values())
    furthest = dict(zip(of_folder, map(abs, by_colourfulness), strict=True))
    means = {scan_id: colours.mean_ab for scan_id, colours in of_folder.items() if colours.mean_ab is not None}
    for scan_id, distance in zip(means, ab_distances(means.values()), strict=True):
        furthest[scan_id] = max(furthest[scan_id], distance)
    return furthest


def test_one_green_output_among_forty_brown_ones_of_equal_colourfulness_is_unlike_its_folder(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=41)
    with session_scope(engine) as session:
        ids = [scan.id for scan in scans.of_job(session, job_id)]
        records = [ScanRecord(scan_id, "done", 1, _brown(scan_id), "w", NOON) for scan_id in ids]
        records[7].measurements.mean_a, records[7].measurements.mean_b = -9.0, 12.0
        scans.record(session, records)

    [row] = ask(engine, "SELECT * FROM folder_outliers")

    assert (row["scan_id"], row["distance"], row["ab_distance"]) == (ids[7], 0.0, row["furthest"])
    assert (row["mean_a"], row["mean_b"], row["folder_a"], row["folder_b"]) == (-9.0, 12.0, 7.0, 15.0)


def _brown(number: int) -> ScanMeasurements:
    mean = {"mean_a": 6.0 + number % 3, "mean_b": 14.0 + number % 3}
    return ScanMeasurements(colourfulness=30.0, output_sha256="f", **mean)  # type: ignore[arg-type]


def test_outputs_of_an_earlier_version_are_compared_by_their_colourfulness_alone(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=12)
    with session_scope(engine) as session:
        for number, scan in enumerate(scans.of_job(session, job_id)):
            measured = ScanMeasurements(colourfulness=90.0 if number == 2 else 30.0, output_sha256="f")
            if number > 4:  # seven are too few to say what colours are usual
                measured.mean_a, measured.mean_b = -40.0 if number == 5 else 6.0, 14.0
            scans.record(session, [ScanRecord(scan.id, "done", 1, measured, "w", NOON)])

    rows = ask(engine, "SELECT source_key, ab_distance FROM folder_outliers")

    assert [tuple(row.values()) for row in rows] == [("box/2.jpg", None)]


def test_only_an_output_has_software_and_a_mean_colour(engine: Engine) -> None:
    """A worker of an earlier version does not write them, and may make the output at a later attempt."""
    job_id = make_job(engine, scan_count=1)
    measured = ScanMeasurements(software="Photochrom 9", mean_a=1.0, mean_b=2.0, output_sha256="f")
    with session_scope(engine) as session:
        [scan] = scans.of_job(session, job_id)
        scans.record(session, [ScanRecord(scan.id, "pending", 1, measured, "w", NOON, "store_down", "it is down")])

    columns = "software, mean_a, mean_b, output_sha256"
    assert tuple(ask(engine, f"SELECT {columns} FROM scan")[0].values()) == (None, None, None, "f")
    with session_scope(engine) as session:
        scans.record(session, [ScanRecord(scan.id, "done", 2, measured, "w", NOON)])
    assert tuple(ask(engine, f"SELECT {columns} FROM scan_history")[0].values()) == ("Photochrom 9", 1.0, 2.0, "f")


def _random(dice: random.Random) -> ScanMeasurements:
    def maybe(value: float) -> float | None:
        return None if dice.random() < 0.3 else value

    return ScanMeasurements(
        width=dice.choice([150, 200, 900, 4000]),
        height=dice.choice([100, 200, 300, 4000]),
        picture_width=dice.choice([None, 80]),
        colourfulness=maybe(dice.choice([0.0, 14.9, 15.0, 60.0])),
        certainty=maybe(dice.choice([0.0, 0.29, 0.3, 0.5, 0.9])),
        doubtful_below=maybe(dice.choice([0.2, 0.517])),
        clipped_share=maybe(dice.choice([0.0, 0.25, 0.26, 1.0])),
        output_sha256="f",
    )


def test_status_tells_what_the_view_tells(worked: Engine) -> None:
    with read_scope(worked) as session:
        found = lifecycle.progress(session, 1)

    assert (found.done, found.failed, found.pending) == (5, 3, 2)
    assert found.scans_per_second == pytest.approx(8 / 180)
    assert found.started_at == NOON


def test_a_scan_has_no_weight_until_it_is_done(worked: Engine) -> None:
    with read_scope(worked) as session:
        assert {scan.review_weight for scan in session.query(Scan)} == {None}
