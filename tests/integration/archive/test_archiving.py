"""A job's rows move from the database to files, and the results of its scans stay known."""

from datetime import timedelta

import duckdb
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, text

from db.clock import utc_now
from db.errors import Conflict, UsageError
from db.models.archives import ArchivedScan, ArchiveState, JobArchive
from db.models.jobs import Job, JobState, Scan
from db.models.outputs import OutputClaim
from db.models.reviews import Review
from db.queries.archives import archived_scans, progress
from db.queries.jobs import lifecycle, retries
from db.queries.jobs.lifecycle import NewScan
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.actions import reviews as actions
from scheduler.archive.archiver import sources_key
from scheduler.archive.deletion import Pace, delete_job
from tests.integration.archive.conftest import ADA, ENDED, Collection
from worker.errors import ServiceUnavailable
from worker.settings.settings import Settings
from worker.storage import S3Options

KEYS = [f"box 1/{number:04}.tif" for number in range(20)]


def test_an_archive_has_every_scan_and_verdict_and_the_database_none(collection: Collection) -> None:
    job_id = collection.job(KEYS, failed=[KEYS[3]])
    collection.accept(job_id, KEYS[5], note="for the book")

    archived = collection.archiver().archive(job_id)

    assert archived.scans == 20
    assert collection.live_scans(job_id) == []
    with duckdb.connect() as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'failed'), min(fetch_ms), max(lower(hex(output_sha256))), "
            f"max(reviews[1].note), max(reviews[1].reviewed_by), max(epoch(finished_at)) FROM '{archived.location}'"
        ).fetchone()
    assert row is not None
    assert row[:2] == (20, 1)
    assert row[2] == pytest.approx(12.3)
    assert row[3] == f"{1020:064x}"
    assert row[4:] == ("for the book", "ada", ENDED.timestamp())
    with read_scope(collection.engine) as session:
        assert session.scalar(select(func.count()).select_from(Review)) == 0
        assert lifecycle.progress(session, job_id).total == 20


def test_the_sources_hashes_lie_beside_it_row_by_row(collection: Collection) -> None:
    job_id = collection.job(KEYS)

    location = collection.archiver().archive(job_id).location

    scans, sources = (pq.read_table(path) for path in (location, sources_key(location)))
    assert scans["id"].to_pylist() == sources["id"].to_pylist()
    assert sources["source_sha256"][4].as_py() == bytes.fromhex(f"{scans['id'][4].as_py():064x}")
    assert sources["etag_bytes"][4].as_py() == (4).to_bytes(16, "big")
    assert scans.schema.metadata[b"photochrom.source"] == b"s3://scans/in"


def test_views_and_history_still_know_the_scan(collection: Collection) -> None:
    job_id = collection.job(KEYS, failed=[KEYS[3]])
    location = collection.archiver().archive(job_id).location
    collection.job(KEYS[:4], at=ENDED + timedelta(days=1))

    with read_scope(collection.engine) as session:
        query = "SELECT job_id, state, archive FROM scan_jobs WHERE source_key = :key ORDER BY job_id"
        rows = [tuple(row) for row in session.execute(text(query), {"key": KEYS[3]})]
        failures = session.execute(text("SELECT job_id, error_code, scans, example_key FROM job_failures")).all()
        [(scan, job)] = archived_scans.history(session, f"{collection.destination}/{KEYS[7]}.jpg")

    assert rows == [(job_id, "failed", location), (job_id + 1, "done", None)]
    assert [tuple(row) for row in failures] == [(job_id, "truncated", 1, KEYS[3])]
    assert (scan.source_key, job.id) == (KEYS[7], job_id)


def test_a_finished_output_belongs_to_its_source_and_an_unmade_one_is_free(collection: Collection) -> None:
    job_id = collection.job(KEYS[:4], failed=[KEYS[3]])
    collection.archiver().archive(job_id)

    with pytest.raises(Conflict, match=r"holds outputs of another source.*0000.tif.jpg \(job 1\)"):
        collection.job(KEYS[:1], source="s3://other/in")
    assert collection.job([KEYS[3]], source="s3://other/in")


def test_a_cancelled_jobs_unmade_outputs_are_free(collection: Collection) -> None:
    job_id = collection.job(KEYS[:4], state=JobState.CANCELLED)
    collection.archiver().archive(job_id)

    with read_scope(collection.engine) as session:
        assert session.scalars(select(OutputClaim.uri)).all() == []


def test_an_archived_output_stays_its_sources_after_a_later_job_gave_up(collection: Collection) -> None:
    collection.archiver().archive(collection.job(KEYS[:2]))
    later = collection.job(KEYS[:2], state=JobState.CANCELLED, at=ENDED + timedelta(days=1))

    with pytest.raises(Conflict, match="another source"):
        collection.job(KEYS[:1], source="s3://other/in")
    collection.archiver().archive(later)
    with pytest.raises(Conflict, match="another source"):
        collection.job(KEYS[:1], source="s3://other/in")


def test_a_submission_that_is_taken_back_leaves_the_archived_outputs_claims(collection: Collection) -> None:
    collection.archiver().archive(collection.job(KEYS[:2]))
    with session_scope(collection.engine) as session:
        made = {"name": "again", "source": "s3://scans/in", "destination": collection.destination}
        job_id = lifecycle.create(session, options={}, priority=0, now=ENDED, **made)
        scans = [NewScan(key, None, None, f"{key}.jpg") for key in KEYS[:3]]
        lifecycle.add_scans(session, job_id, scans, chunk_scans=3)
    with session_scope(collection.engine) as session:
        lifecycle.remove(session, job_id)

    with read_scope(collection.engine) as session:
        uris = session.scalars(select(OutputClaim.uri).order_by(OutputClaim.uri)).all()
    assert uris == [f"{collection.destination}/{key}.jpg" for key in KEYS[:2]]


def test_an_accepted_output_stays_accepted(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    collection.accept(job_id, KEYS[5])
    collection.archiver().archive(job_id)

    with read_scope(collection.engine) as session:
        outputs = [f"{key}.jpg" for key in KEYS]
        assert records.accepted(session, collection.destination, outputs) == {f"{KEYS[5]}.jpg"}
        assert records.outputs_at(session, collection.destination, outputs) == set(outputs)


def test_an_archived_job_takes_no_retry_and_no_verdict(collection: Collection) -> None:
    job_id = collection.job(KEYS, failed=[KEYS[3]])
    scans = collection.live_scans(job_id)
    collection.archiver().archive(job_id)

    with session_scope(collection.engine) as session, pytest.raises(Conflict, match="is archived: its scans are in"):
        retries.retry_failed(session, job_id, now=ENDED)
    with pytest.raises(UsageError):
        collection.accept(job_id, scans[0].source_key)
    with pytest.raises(Conflict, match="archived already"):
        collection.archiver().archive(job_id)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAUSED])
def test_a_job_that_goes_on_is_not_archived(collection: Collection, state: str) -> None:
    job_id = collection.job(KEYS)
    with session_scope(collection.engine) as session:
        session.execute(text(f"UPDATE job SET state = '{state}', finished_at = NULL"))

    with pytest.raises(Conflict, match=f"is {state}; only a job that has ended"):
        collection.archiver().archive(job_id)


def test_a_bag_is_sealed_from_all_rows_so_they_stay(collection: Collection) -> None:
    job_id = collection.job(KEYS, options={"bag": True})

    with pytest.raises(Conflict, match="bag of job 1"):
        collection.archiver().archive(job_id)


def test_a_job_with_outputs_in_a_bag_is_not_deleted(collection: Collection) -> None:
    job_id = collection.job(KEYS[:4])
    collection.job(["a later one"], options={"bag": True})

    with pytest.raises(Conflict, match=r"job 1 lie in the bag of job 2, .*can be deleted; keep this one"):
        delete(collection, job_id)

    assert len(collection.live_scans(job_id)) == 4


def test_two_results_of_an_output_are_kept_until_somebody_has_chosen(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    scan_ids = [scan.id for scan in collection.live_scans(job_id)[:2]]
    redo_id = actions.redo(collection.engine, Settings(chunk_scans=3), job_id, scan_ids, ADA, changes={})
    collection.end(redo_id)
    (collection.folder / "photochrom-redone" / str(redo_id)).mkdir(parents=True)

    collection.job(["a later one"])
    for number in (job_id, redo_id):
        with pytest.raises(Conflict, match=f"outputs of job 1 were made again, and nobody has chosen.*{number} can be"):
            collection.archiver().archive(number)
        with pytest.raises(Conflict, match="outputs of job 1 were made again, and nobody has chosen"):
            delete(collection, number)

    actions.choose(collection.engine, job_id, scan_ids, "earlier", ADA, chunk_scans=3)
    for number in (job_id, redo_id):
        collection.archiver().archive(number)


def test_a_file_that_is_read_back_otherwise_deletes_nothing(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = collection.job(KEYS)
    archiver = collection.archiver()
    monkeypatch.setattr("scheduler.archive.archiver.count_rows", lambda _path: 19)

    with pytest.raises(ServiceUnavailable, match="nothing was deleted"):
        archiver.archive(job_id)

    assert len(collection.live_scans(job_id)) == 20
    collection.accept(job_id, KEYS[1])  # the job is unchanged


def test_where_the_store_can_not_be_opened_the_job_is_as_it_was(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    with session_scope(collection.engine) as session:
        session.get_one(Job, job_id).destination = "s3://colour/plates"

    with pytest.raises(UsageError, match="no address"):
        collection.archiver(s3=S3Options(endpoint_url="no address")).archive(job_id)

    with read_scope(collection.engine) as session:
        assert session.get(JobArchive, job_id) is None


def test_an_archiving_that_was_stopped_after_any_step_continues(collection: Collection) -> None:
    """Each call is interrupted at its second step, until one call reaches the end."""
    job_id, stops = collection.job(KEYS), 0
    while True:
        try:
            collection.archiver(sleep=_stop_at_the_second()).archive(job_id)
            break
        except KeyboardInterrupt:
            stops += 1
            with session_scope(collection.engine) as session:
                assert _known(session, job_id) == 20
                session.get_one(JobArchive, job_id).touched_at -= timedelta(minutes=2)

    assert stops >= 2
    with read_scope(collection.engine) as session:
        assert session.get_one(JobArchive, job_id).state == ArchiveState.DONE
        assert _known(session, job_id) == 20


def _stop_at_the_second() -> object:
    steps = iter((False, True))

    def sleep(_seconds: float) -> None:
        if next(steps):
            raise KeyboardInterrupt

    return sleep


def _known(session: object, job_id: int) -> int:
    live = select(func.count()).select_from(Scan).where(Scan.job_id == job_id)
    archived = select(func.count()).select_from(ArchivedScan).where(ArchivedScan.job_id == job_id)
    return int(session.scalar(live) + session.scalar(archived))  # type: ignore[attr-defined]


def test_a_process_that_was_thought_dead_changes_nothing_any_more(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    with session_scope(collection.engine) as session:
        first = progress.begin(session, job_id, now=ENDED)
    with session_scope(collection.engine) as session, pytest.raises(Conflict, match="try again in a minute"):
        progress.begin(session, job_id, now=ENDED + timedelta(seconds=50))
    with session_scope(collection.engine) as session:
        progress.begin(session, job_id, now=ENDED + timedelta(seconds=61))

    with session_scope(collection.engine) as session, pytest.raises(Conflict, match="another process works on"):
        progress.touch(session, first, now=ENDED)


def test_jobs_are_old_by_their_end(collection: Collection) -> None:
    old = collection.job(KEYS[:3])
    collection.job(KEYS[3:6], at=ENDED + timedelta(days=2))

    with read_scope(collection.engine) as session:
        assert progress.old_jobs(session, ended_before=ENDED + timedelta(days=1), with_archived=False) == [old]


def delete(collection: Collection, job_id: int, *, forget_accepted: bool = False) -> int:
    return delete_job(
        collection.engine, job_id, ADA, Pace(rest=0), forget_accepted=forget_accepted, show=lambda _: None
    )


def test_a_deleted_job_leaves_its_outputs_claims_alone(collection: Collection) -> None:
    job_id = collection.job(KEYS[:4], failed=[KEYS[3]])
    collection.job(["a later one"])

    delete(collection, job_id)

    with read_scope(collection.engine) as session:
        assert session.get(Job, job_id) is None
        assert session.scalar(select(func.count()).select_from(OutputClaim)) == 3 + 1
    with pytest.raises(Conflict, match="another source"):
        collection.job(KEYS[:1], source="s3://other/in")


def test_a_reader_of_a_job_that_is_deleted_meanwhile_is_told_that_scans_may_be_missing(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    collection.job(["a later one"])
    scans = records.stream(collection.engine, job_id)
    next(scans)
    with session_scope(collection.engine) as session:
        progress.begin_deletion(session, job_id, forget_accepted=False, now=ENDED)

    with pytest.raises(Conflict, match="job 1 is being deleted"):
        list(scans)


def test_accepted_outputs_are_not_forgotten_by_mistake(collection: Collection) -> None:
    job_id = collection.job(KEYS)
    collection.accept(job_id, KEYS[5])
    collection.archiver().archive(job_id)
    collection.job(["a later one"])

    with pytest.raises(Conflict, match="people accepted outputs of job 1"):
        delete(collection, job_id)
    delete(collection, job_id, forget_accepted=True)
    with read_scope(collection.engine) as session:
        assert session.get(Job, job_id) is None
        assert _known(session, job_id) == 0


def test_a_job_whose_report_is_still_to_be_written_is_archived_after_a_day_at_most(collection: Collection) -> None:
    job_id = collection.job(KEYS, at=utc_now())
    with session_scope(collection.engine) as session:
        session.get_one(Job, job_id).report_due_at = utc_now()

    with pytest.raises(Conflict, match="report of job 1 is still to be written"):
        collection.archiver().archive(job_id)
    with session_scope(collection.engine) as session:
        session.get_one(Job, job_id).finished_at = utc_now() - timedelta(days=1, seconds=1)
    assert collection.archiver().archive(job_id).scans == len(KEYS)
