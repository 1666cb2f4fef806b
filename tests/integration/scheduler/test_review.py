"""The queue of doubtful outputs, and verdicts: how they are stored and what they cause."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from db.models.jobs import Scan, ScanState
from db.models.pool import Worker
from db.models.reviews import Verdict
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.pool import workers
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.queries.scans import leases
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.doctor.stalled_jobs import why_stalled
from scheduler.submission.checkpoints import redo_options
from tests.acceptance.command import photochrom
from tests.rows import NOON, make_job, run_worker, scan_states
from worker.model.checkpoint import bundled_checkpoint_path, read_card
from worker.settings.settings import Settings

VIVID = next(id for id, (head, _) in read_card(bundled_checkpoint_path()).variants().items() if head == "vivid")
ADA = By("ada", NOON, "sky is green")


@pytest.fixture
def job(engine: Engine) -> int:
    return make_doubtful_job(engine)


def make_doubtful_job(engine: Engine) -> int:
    """A job with box/0.jpg to box/3.jpg: without doubts, nearly grey, even greyer, and failed."""
    job_id = make_job(engine, scan_count=4)
    register(engine, "w", "first")
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=NOON)
        claims.claim(session, message, worker="w/7", lease_seconds=60, now=NOON)
        found = claims.pending_scans(session, message.chunk_id)
        records = [done(scan.id, colour) for scan, colour in zip(found, (40.0, 9.0, 3.0), strict=False)]
        records.append(
            ScanRecord(found[3].id, ScanState.FAILED, 1, ScanMeasurements(), "w", NOON, "truncated", "it ends early")
        )
        leases.record(session, message, records, lease_seconds=60, now=NOON)
        claims.release(session, message, not_before=None)
    return job_id


def register(engine: Engine, name: str, checkpoint: str) -> None:
    with session_scope(engine) as session:
        worker = Worker(name=name, children=1, checkpoint=checkpoint, started_at=NOON, heartbeat_at=NOON)
        workers.register(session, worker)


def done(scan_id: int, colourfulness: float) -> ScanRecord:
    measured = ScanMeasurements(width=4000, height=3000, colourfulness=colourfulness, output_sha256="f")
    return ScanRecord(scan_id, ScanState.DONE, 1, measured, "w", NOON)


def queued(engine: Engine, job_id: int) -> list[tuple[str, str]]:
    with read_scope(engine) as session:
        return [(row["source_key"], row["reasons"]) for row in reviews.queue(session, job_id, limit=9)]


def decide(engine: Engine, job_id: int, key: str, verdict: str) -> None:
    with session_scope(engine) as session:
        reviews.decide(session, reviews.outputs(session, job_id, [key]), verdict, ADA)


def redo(engine: Engine, job_id: int, key: str, **options: Any) -> int:
    with session_scope(engine) as session:
        found = reviews.outputs(session, job_id, [key])
        return reviews.redo(session, lifecycle.get(session, job_id), found, ADA, options=options, chunk_scans=64)


def test_the_most_doubtful_come_first_and_the_good_and_the_failed_not_at_all(engine: Engine, job: int) -> None:
    assert queued(engine, job) == [("box/2.jpg", "nearly grey"), ("box/1.jpg", "nearly grey")]


def test_a_doubtful_output_returns_to_the_queue_when_its_verdict_is_taken_back(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=2)
    with session_scope(engine) as session:
        limits = zip(scans.of_job(session, job_id), (0.517, None), strict=True)
        all_measured = [
            ScanRecord(
                *(scan.id, ScanState.DONE, 1),
                ScanMeasurements(certainty=0.5, doubtful_below=limit, colourfulness=40.0, output_sha256="f"),
                *("w", NOON),
            )
            for scan, limit in limits
        ]
        scans.record(session, all_measured)
    before = queued(engine, job_id)
    decide(engine, job_id, "box/0.jpg", Verdict.ACCEPTED)
    assert queued(engine, job_id) == []

    with session_scope(engine) as session:
        reviews.undo(session, job_id, ADA.name)

    assert queued(engine, job_id) == before == [("box/0.jpg", "uncertain")]


def test_an_output_that_is_unlike_its_folder_is_listed_until_it_is_reviewed(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=10)
    with session_scope(engine) as session:
        in_folder = enumerate(scans.of_job(session, job_id))
        scans.record(session, [done(scan.id, 90.0 if number == 3 else 40.0) for number, scan in in_folder])

    def unlike() -> list[tuple[str, str]]:
        with read_scope(engine) as session:
            return [
                (row["source_key"], row["reasons"]) for row in reviews.unlike_their_folder(session, job_id, limit=9)
            ]

    assert unlike() == [("box/3.jpg", "unlike its folder")]
    with session_scope(engine) as session:
        session.execute(update(Scan).values(mean_a=6.0, mean_b=14.0))
        session.execute(update(Scan).where(Scan.source_key == "box/5.jpg").values(mean_a=-90.0))
    assert [key for key, _ in unlike()] == ["box/5.jpg", "box/3.jpg"]  # the furthest first
    decide(engine, job_id, "box/5.jpg", Verdict.ACCEPTED)
    assert queued(engine, job_id) == []
    decide(engine, job_id, "box/3.jpg", Verdict.ACCEPTED)
    assert unlike() == []


def test_a_reviewed_output_leaves_the_queue_and_its_reviewer_and_time_are_stored(engine: Engine, job: int) -> None:
    decide(engine, job, "box/2.jpg", Verdict.REJECTED)
    decide(engine, job, "box/1.jpg", Verdict.ACCEPTED)
    decide(engine, job, "box/2.jpg", Verdict.ACCEPTED)

    assert queued(engine, job) == []
    with read_scope(engine) as session:
        said = [(key, of.verdict, of.reviewed_by, of.note) for of, key in reviews.verdicts(session, job)]
    assert said == [("box/2.jpg", "accepted", "ada", "sky is green"), ("box/1.jpg", "accepted", "ada", "sky is green")]


def test_a_redo_is_a_job_of_its_own_for_the_same_outputs(engine: Engine, job: int) -> None:
    again = redo(engine, job, "box/2.jpg")

    with read_scope(engine) as session:
        [scan] = scans.of_job(session, again)
        [(verdict, _)] = reviews.verdicts(session, job)
        made = lifecycle.get(session, again)
    assert (scan.source_key, scan.output_key, scan.source_etag) == ("box/2.jpg", "box/2.jpg", "etag-2")
    assert (verdict.verdict, verdict.redo_job_id) == (Verdict.REDONE, again)
    assert (made.state, made.destination) == ("running", "s3://scans/out")
    assert queued(engine, job) == [("box/1.jpg", "nearly grey")]


def test_a_redo_with_another_checkpoint_waits_for_a_worker_that_has_it(engine: Engine, job: int) -> None:
    again = redo(engine, job, "box/2.jpg", checkpoint="vivid")
    with session_scope(engine) as session:
        waiting = dispatch.waiting_by_job(session, now=NOON, limit=9, heard_after=NOON - timedelta(seconds=20))
        [message] = dispatch.take_for_dispatch(session, again, 1, now=NOON)
        assert waiting == []
        assert claims.claim(session, message, worker="w/7", lease_seconds=60, now=NOON) is None
    register(engine, "v", "vivid")

    with session_scope(engine) as session:
        assert claims.claim(session, message, worker="v/7", lease_seconds=60, now=NOON)
        assert scan_states(engine, again) == [ScanState.PENDING]


def test_any_worker_with_the_files_serves_a_redo_that_names_head_and_embedding(engine: Engine, job: int) -> None:
    card = read_card(bundled_checkpoint_path())
    options = redo_options(Settings(), {"checkpoint": VIVID, "saturation": 1.2})
    assert options["checkpoint"] == card.id
    assert (options["head"], options["embedding"], options["saturation"]) == (*card.variants()[VIVID], 1.2)
    again = redo(engine, job, "box/2.jpg", **options)
    other = next(id for id in card.variants() if id not in (card.id, VIVID))
    for name, checkpoint in (("v", "vivid"), ("u", other)):
        register(engine, name, checkpoint)

    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, again, 1, now=NOON)
        assert claims.claim(session, message, worker="v/7", lease_seconds=60, now=NOON) is None
        assert claims.claim(session, message, worker="u/7", lease_seconds=60, now=NOON)


def test_status_says_which_checkpoint_a_job_waits_for(engine: Engine, job: int) -> None:
    again = redo(engine, job, "box/2.jpg", checkpoint="vivid")

    with read_scope(engine) as session:
        hints = why_stalled(session, [lifecycle.progress(session, again)], silent_seconds=1e9)

    assert any(f"job {again} waits for a worker with the checkpoint vivid" in hint for hint in hints)


def test_the_command_lists_takes_verdicts_and_refuses_what_is_none(migrated_sqlite_url: str, tmp_path: Path) -> None:
    from db.session import make_engine

    engine = make_engine(migrated_sqlite_url)
    job_id = make_doubtful_job(engine)
    run_worker(engine, "w", "first")

    def review(*arguments: str) -> tuple[int, str]:
        said = photochrom(
            "review", str(job_id), *arguments, folder=tmp_path, PHOTOCHROM_DATABASE_URL=migrated_sqlite_url
        )
        return said.returncode, said.stdout + said.stderr

    listed = review()[1]
    assert "2 of 2. Next: photochrom review 1 accept|reject|redo KEY..." in listed
    assert "colourfulness" in listed
    assert "certainty" not in listed  # no head gave a certainty
    assert review("accept", "box/1.jpg", "--by", "ada") == (0, "1 output accepted by ada\n")
    assert review("redo", "box/2.jpg", "--checkpoint", VIVID) == (
        0,
        "job 2 makes 1 output again, beside the earlier, as soon as a worker has that checkpoint (running workers have "
        "first; photochrom models says how to start one); photochrom review 1 take or keep KEY chooses when it is "
        "done\n",
    )
    assert review()[1] == "Nothing of job 1 needs review.\n"
    assert "redone by job 2" in review("--reviewed")[1]
    assert review("accept", "box/3.jpg")[0] == review("praise", "box/1.jpg")[0] == review("reject")[0] == 2
