"""One chunk in a child, with real storage, a real database and a simple function in place of the model."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, event

from db.clock import utc_now
from db.models.jobs import Chunk, ChunkState, Scan, ScanState
from db.queries.chunks import claims, dispatch
from db.queries.chunks.claims import ChunkMessage, Claim
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import make_engine, read_scope, session_scope
from scheduler.daemon import lease_expiry
from scheduler.submission.submitter import Submission, Submitter
from tests.rows import chunk_of
from worker.colour.lab import rgb_to_lab
from worker.errors import CredentialsRefused, LeaseLost, ScanError, ServiceUnavailable, UsageError
from worker.inference.client import Prediction
from worker.inference.colour_options import ColourOptions
from worker.inference.models.stub_model import stub_ab
from worker.instance import Runtime
from worker.settings.settings import Settings
from worker.storage.folder.storage import FolderStorage
from worker.system.boot_clock import boot_seconds
from worker.tasks.child import Child
from worker.tasks.chunk_run import ChunkRun
from worker.tasks.fence import Fence
from worker.tasks.lease import Lease


def predict(lightness: NDArray[np.float32], options: ColourOptions = ColourOptions()) -> Prediction:  # noqa: B008
    head = options.head or "paper"
    return Prediction(stub_ab(lightness), None, "stand-in", 1.0, 2.0, head, "compact", "float32", 400)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((30, 40), 60 * number + 20, np.uint8))
    return folder


@pytest.fixture
def child(engine: Engine, tmp_path: Path, database_url: str) -> Child:
    runtime = Runtime("host-1", tmp_path / "runtime", tmp_path)
    runtime.folder.mkdir()
    child = Child(
        Settings(
            database_url=SecretStr(database_url),
            worker_name=runtime.worker_name,
            runtime_folder=runtime.folder,
            scan_attempts=2,
            outage_attempts=4,
            retry_pause_seconds=10,
            longest_retry_pause_seconds=25,
            threads_per_child=1,
        )
    )
    child.model.predict = predict  # type: ignore[method-assign,assignment]
    return child


@pytest.fixture
def claim(engine: Engine, child: Child, collection: Path) -> Callable[[], Claim]:
    """Submits the collection's job. Returns a function that claims the job's one chunk."""
    submission = Submission(str(collection), str(collection.parent / "colour"))
    Submitter(engine, s3=child.settings.s3_options, chunk_scans=64, checkpoints=list).submit(submission)

    def claim() -> Claim:
        later = utc_now() + timedelta(hours=1)  # any pause of the chunk is over
        with session_scope(engine) as session:
            [message] = dispatch.take_for_dispatch(session, 1, 1, now=later)
            seconds = child.settings.lease_seconds
            claimed = claims.claim(session, message, worker=child.holder, lease_seconds=seconds, now=utc_now())
        assert claimed is not None
        return claimed

    return claim


def chunk_run(child: Child, claim: Claim) -> ChunkRun:
    return ChunkRun(child, claim, Lease(child.settings.lease_seconds, boot_seconds()))


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows(engine: Engine) -> list[Scan]:
    with read_scope(engine) as session:
        return records.of_job(session, 1)


def test_every_scan_is_coloured_stored_and_recorded(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    chunk_run(child, claim()).run()

    assert {(row.state, row.width, row.height, row.bit_depth, row.worker) for row in rows(engine)} == {
        (ScanState.DONE, 40, 30, 8, "host-1")
    }
    assert {path.name for path in (collection.parent / "colour").iterdir()} == {f"{number}.png" for number in range(4)}
    assert chunk_of(engine, 1).state == ChunkState.DONE


def test_a_chunk_is_recorded_and_handed_back_in_one_transaction(child: Child, claim: Callable[[], Claim]) -> None:
    claimed, commits = claim(), list[Connection]()
    event.listen(child.engine, "commit", commits.append)

    chunk_run(child, claimed).run()

    writing = [one for one in commits if not one.get_execution_options().get("photochrom_reads")]
    assert len(writing) == 1  # the check before an output is stored only reads


def test_a_job_chooses_head_and_saturation_and_each_row_says_how_its_pixels_were_made(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    claimed = claim()
    claimed.job.options = {**claimed.job.options, "head": "vivid", "saturation": 0.0}
    chunk_run(child, claimed).run()

    assert {(row.head, row.embedding, row.saturation, row.precision, row.input_px) for row in rows(engine)} == {
        ("vivid", "compact", 0.0, "float32", 400)
    }
    path = collection.parent / "colour" / "1.png"
    output = cv2.imread(str(path))
    assert output is not None
    [software] = {row.software for row in rows(engine)}
    assert f'photochrom:Software="{software}"'.encode() in path.read_bytes()
    assert np.ptp(output.astype(int), axis=2).max() == 0, "a saturation of 0 is grey"


def test_the_mean_colour_of_each_output_is_recorded(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    chunk_run(child, claim()).run()

    for row in rows(engine):
        output = cv2.imread(str(collection.parent / "colour" / row.output_key))
        assert output is not None
        expected = rgb_to_lab(output[..., ::-1] / 255)[..., 1:].mean(axis=(0, 1))
        assert (row.mean_a, row.mean_b) == pytest.approx(tuple(expected), abs=0.1)
        assert np.hypot(*expected) > 1


def test_the_doubtful_limit_of_a_checkpoint_is_stored_with_the_scan_and_puts_it_into_the_queue(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    predict = child.model.predict

    def doubtful(*arguments: Any) -> Prediction:
        return replace(predict(*arguments), certainty=0.5, doubtful_below=0.517)

    child.model.predict = doubtful  # type: ignore[method-assign,assignment]
    chunk_run(child, claim()).run()

    assert {row.doubtful_below for row in rows(engine)} == {0.517}
    with read_scope(engine) as session:
        assert all("uncertain" in row["reasons"] for row in reviews.queue(session, 1, limit=9))
        assert reviews.queue_length(session, 1) == 4


def test_a_bad_scan_fails_at_once_and_the_rest_of_its_chunk_is_done(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    content = (collection / "2.png").read_bytes()
    (collection / "2.png").write_bytes(content[:-20])
    claimed = claim()
    chunk_run(child, claimed).run()

    assert [(row.state, row.error_code) for row in rows(engine)][:2] == [(ScanState.DONE, None)] * 2
    assert rows(engine)[2].error_code in ("source_changed", "truncated")
    assert chunk_of(engine, 1).state == ChunkState.DONE


def fail_with(child: Child, code: str) -> None:
    def fail(*_: object) -> Prediction:
        raise ScanError(code, "as it says", permanent=False)

    child.model.predict = fail  # type: ignore[method-assign,assignment]


def test_a_passing_failure_is_tried_again_after_a_pause_and_fails_with_the_last_reason(
    engine: Engine, child: Child, claim: Callable[[], Claim]
) -> None:
    fail_with(child, "internal")
    before = utc_now()
    chunk_run(child, claim()).run()
    first, pause = rows(engine)[0], chunk_of(engine, 1).not_before
    fail_with(child, "model_failed")
    chunk_run(child, claim()).run()

    assert (first.state, first.attempts, first.error_code) == (ScanState.PENDING, 1, "internal")
    assert pause is not None
    assert pause >= before + timedelta(seconds=10)
    assert {(row.state, row.attempts, row.error_code) for row in rows(engine)} == {
        (ScanState.FAILED, 2, "model_failed")
    }
    with read_scope(engine) as session:
        assert lifecycle.progress(session, 1).failed == 4


def test_an_outage_is_waited_out_with_growing_pauses_and_costs_few_scans_their_tries(
    engine: Engine, child: Child, claim: Callable[[], Claim]
) -> None:
    """The store stays away. Two scans of four are tried, with growing pauses, until they fail; two keep their tries."""
    fail_with(child, "storage_unavailable")
    for seconds in (10, 20, 25):
        before = utc_now()
        chunk_run(child, claim()).run()
        not_before = chunk_of(engine, 1).not_before
        assert not_before is not None
        assert before <= not_before - timedelta(seconds=seconds) <= utc_now()
    chunk_run(child, claim()).run()

    assert chunk_of(engine, 1).not_before is None
    assert [(row.state, row.attempts, row.error_code) for row in rows(engine)] == [
        (ScanState.FAILED, 4, "storage_unavailable"),
        (ScanState.FAILED, 4, "storage_unavailable"),
        (ScanState.PENDING, 0, None),
        (ScanState.PENDING, 0, None),
    ]


def refuse_credentials(child: Child, uri: str, method: str, times: int) -> list[str]:
    """Let a storage's method fail `times` times, as with expired credentials. Returns the list of all calls' keys."""
    storage = child.storage(uri)
    call, keys = getattr(storage, method), list[str]()

    def refuse(*arguments: Any, **options: Any) -> Any:
        keys.append(str(arguments[1 if method == "store" else 0]))
        if len(keys) <= times:
            raise ScanError("credentials", "the token has expired", permanent=False)
        return call(*arguments, **options)

    setattr(storage, method, refuse)
    return keys


def test_expired_credentials_stop_the_chunk_and_cost_no_scan_an_attempt(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    keys = refuse_credentials(child, str(collection), "fetch", times=1000)

    chunk_run(child, claim()).run()

    assert len(keys) == 1, "nothing more was begun"
    assert {(row.state, row.attempts) for row in rows(engine)} == {(ScanState.PENDING, 0)}
    assert chunk_of(engine, 1).state == ChunkState.PENDING


def test_a_finished_output_is_stored_once_the_credentials_are_accepted(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    child.settings.retry_pause_seconds = 0.01
    keys = refuse_credentials(child, str(collection.parent / "colour"), "store", times=3)

    chunk_run(child, claim()).run()

    assert keys == ["0.png"] * 4
    assert rows(engine)[0].state == ScanState.DONE


def pauses_until_access(
    child: Child, uri: str, refusals: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """The pauses of a worker whose checks of a store fail with each of `refusals` in turn, and then succeed."""
    pauses = list[float]()

    def check(storage: FolderStorage) -> None:
        if refusals:
            raise refusals.pop(0)

    monkeypatch.setattr(FolderStorage, "check", check)
    monkeypatch.setattr(child, "_sleep", pauses.append)
    child.expect_access(uri)
    child.wait_for_access()
    return pauses


def test_a_public_source_needs_no_credentials_and_is_not_waited_for(
    child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    child.settings.s3_unsigned = True
    claimed = claim()

    pipeline = child.pipeline(claimed.job)
    chunk_run(child, claimed)._lack_credentials()

    assert pipeline.source is not child.storage(str(collection)), "this one would need credentials"
    assert pipeline.destination is child.storage(claimed.job.destination)
    assert child._refusing == {claimed.job.destination}


def test_a_worker_whose_credentials_are_refused_takes_no_chunk_until_they_are_accepted(
    child: Child, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = [CredentialsRefused("expired"), ServiceUnavailable("away")]
    assert pauses_until_access(child, str(collection), refusals, monkeypatch) == [1, 2]


def test_a_worker_that_drains_waits_for_no_store(
    child: Child, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = list[float]()
    monkeypatch.setattr(FolderStorage, "check", refuse)
    monkeypatch.setattr(child, "_sleep", pauses.append)
    monkeypatch.setattr(type(child.runtime), "is_draining", lambda runtime: len(pauses) == 2)
    child.expect_access(str(collection))

    child.wait_for_access()

    assert pauses == [1, 2]


def refuse(storage: FolderStorage) -> None:
    raise CredentialsRefused("expired")


def test_a_store_that_knows_the_credentials_and_denies_listing_is_not_waited_for(
    child: Child, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = [UsageError("grant s3:ListBucket")] * 1000
    assert pauses_until_access(child, str(collection), refusals, monkeypatch) == []


def test_a_child_that_was_frozen_past_its_lease_stores_nothing(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    seconds = child.settings.lease_seconds
    ChunkRun(child, claim(), Lease(seconds, boot_seconds() - seconds)).run()

    assert list((collection.parent / "colour").iterdir()) == []
    assert {(row.state, row.error_code) for row in rows(engine)} == {
        (ScanState.PENDING, "lease_ended"),
        (ScanState.PENDING, None),
    }


def test_after_a_lost_lease_nothing_is_stored_though_the_clock_says_it_is_held(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    """The scheduler took the chunk back while a scan was on the device, by a database clock that was ahead."""
    child.settings.record_seconds = 0.05
    lease = Lease(600, boot_seconds())
    claimed = claim()

    def take_away(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
        with session_scope(engine) as session:
            claims.lose_lease(session, ChunkMessage(claimed.chunk_id, claimed.attempt), child_died=False)
        wait_until(lambda: not lease.is_held())
        return predict(lightness, options)

    child.model.predict = take_away  # type: ignore[method-assign,assignment]
    with pytest.raises(LeaseLost):
        ChunkRun(child, claimed, lease).run()

    assert list((collection.parent / "colour").iterdir()) == []


def expire_by_a_clock_ahead(engine: Engine, monkeypatch: pytest.MonkeyPatch, **ahead: float) -> int:
    """Expire leases as a scheduler by a database clock that is ahead. Returns how many leases have ended."""
    with monkeypatch.context() as failover:
        failover.setattr("scheduler.daemon.lease_expiry.database_now", lambda _: utc_now() + timedelta(**ahead))
        return lease_expiry.expire(engine, chunk_attempts=3)


def test_a_database_whose_clock_is_ahead_gave_the_chunk_away_and_the_other_workers_output_stays(
    engine: Engine,
    child: Child,
    claim: Callable[[], Claim],
    collection: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child.settings.record_seconds = 60  # no record tells this child of the lost lease before an output is ready
    claimed, outputs = claim(), collection.parent / "colour"

    def fail_over(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
        if not list(outputs.iterdir()):
            assert expire_by_a_clock_ahead(engine, monkeypatch, hours=1) == 1
            claim()
            for number in range(4):
                (outputs / f"{number}.png").write_bytes(b"the other worker's")
        return predict(lightness, options)

    child.model.predict = fail_over  # type: ignore[method-assign,assignment]
    with pytest.raises(LeaseLost):
        chunk_run(child, claimed).run()

    assert {path.read_bytes() for path in outputs.iterdir()} == {b"the other worker's"}
    assert chunk_of(engine, 1).state == ChunkState.LEASED


def test_a_lease_that_is_over_by_a_clock_ahead_is_extended_before_an_output_is_stored(
    engine: Engine, claim: Callable[[], Claim]
) -> None:
    claimed = claim()
    fence = Fence(engine, ChunkMessage(claimed.chunk_id, claimed.attempt), Lease(120, boot_seconds()), 120)
    with session_scope(engine) as session:
        session.get_one(Chunk, claimed.chunk_id).lease_expires_at = utc_now() - timedelta(seconds=5)

    assert fence.is_held()
    assert lease_expiry.expire(engine, chunk_attempts=3) == 0


def test_while_the_database_does_not_answer_an_output_waits_until_the_lease_ends(claim: Callable[[], Claim]) -> None:
    claimed = claim()
    nowhere = make_engine("sqlite:////nowhere/photochrom.db")
    fence = Fence(nowhere, ChunkMessage(claimed.chunk_id, claimed.attempt), Lease(0.3, boot_seconds()), 120)
    began = time.monotonic()

    assert not fence.is_held()
    assert 0.2 < time.monotonic() - began < 30


def test_a_draining_worker_hands_back_what_it_has_not_begun(
    engine: Engine, child: Child, claim: Callable[[], Claim]
) -> None:
    claimed = claim()
    child.runtime.drain()

    chunk_run(child, claimed).run()

    assert {row.state for row in rows(engine)} == {ScanState.PENDING}
    assert chunk_of(engine, 1).state == ChunkState.PENDING


def test_a_chunk_held_too_long_is_handed_back_with_what_is_done_recorded(
    engine: Engine, child: Child, claim: Callable[[], Claim]
) -> None:
    def slow(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
        time.sleep(0.05)
        return predict(lightness, options)

    child.model.predict = slow  # type: ignore[method-assign,assignment]
    run = chunk_run(child, claim())
    run._hand_back_at = 0.0
    run.run()

    assert chunk_of(engine, 1).state == ChunkState.PENDING


def test_a_worker_that_cannot_work_for_a_job_hands_its_chunk_back(
    engine: Engine, child: Child, claim: Callable[[], Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UsageError("no AWS profile")

    monkeypatch.setattr(child, "pipeline", refuse)

    with pytest.raises(UsageError):
        chunk_run(child, claim()).run()

    chunk = chunk_of(engine, 1)
    assert (chunk.state, chunk.lost_leases) == (ChunkState.PENDING, 0)


def test_a_destination_that_is_not_mounted_is_not_made(
    engine: Engine, child: Child, claim: Callable[[], Claim], collection: Path
) -> None:
    shutil.rmtree(collection.parent / "colour")

    chunk_run(child, claim()).run()

    assert {row.state for row in rows(engine)} == {ScanState.PENDING}
    assert rows(engine)[0].error_code == "storage_unavailable"
    assert not (collection.parent / "colour").exists()
