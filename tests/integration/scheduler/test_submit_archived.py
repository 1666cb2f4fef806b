"""Scans in cold storage: the listing shows them, no worker tries them, and `retry --code archived` brings them back."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from db.models.jobs import JobState, Scan, ScanState, Tally
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle, retries, submissions
from db.queries.scans import leases, records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.daemon.lease_expiry import complete_jobs
from scheduler.standalone.services import S3Server
from scheduler.submission.request import submission_of
from scheduler.submission.sampling import SampleRequest
from scheduler.submission.submitter import Submission, Submitted, Submitter
from tests.flaky_s3 import FlakyS3
from tests.rows import NOON
from worker.errors import ScanError
from worker.storage import S3Options, StoredObject, open_storage, parse_location
from worker.storage.s3.storage import S3Storage

CLASSES = {
    "in/1.tif": "GLACIER",
    "in/2.tif": "DEEP_ARCHIVE",
    "in/3.tif": "GLACIER_IR",
    "in/4.tif": "STANDARD",
    "in/5.tif": "GLACIER restored",
    "in/notes.txt": "GLACIER",
}
ALL_COLD = dict.fromkeys(CLASSES, "GLACIER")


@pytest.fixture
def s3(s3_server: S3Server, bucket: str, s3_options: S3Options, tmp_path: Path) -> Iterator[FlakyS3]:
    """A real S3 server whose listings show the storage classes above."""
    (tmp_path / "scan").write_bytes(b"not looked at")
    storage = open_storage(parse_location(f"s3://{bucket}"), s3=s3_options)
    for key in CLASSES:
        storage.store(tmp_path / "scan", key, content_type="image/tiff")
    with FlakyS3(s3_server.endpoint_url) as proxy:
        proxy.storage_classes = CLASSES
        yield proxy


@pytest.fixture
def submitter(engine: Engine, s3: FlakyS3, s3_options: S3Options) -> Submitter:
    options = replace(s3_options, endpoint_url=s3.endpoint_url)
    return Submitter(engine, s3=options, chunk_scans=2, checkpoints=lambda: ["one"])


@pytest.fixture
def request_of(bucket: str) -> Callable[..., Submission]:
    return lambda **options: Submission(f"s3://{bucket}/in", f"s3://{bucket}/out", **options)


def rows(engine: Engine, submitted: Submitted) -> dict[str, Scan]:
    with read_scope(engine) as session:
        return {scan.source_key: scan for scan in records.of_job(session, submitted.job_id or 0)}


def progress(engine: Engine, submitted: Submitted) -> lifecycle.Progress:
    with read_scope(engine) as session:
        return lifecycle.progress(session, submitted.job_id or 0)


def dispatched(engine: Engine, submitted: Submitted) -> list[str]:
    """The scans that workers get."""
    keys = []
    with session_scope(engine) as session:
        for message in dispatch.take_for_dispatch(session, submitted.job_id or 0, 9, now=NOON):
            claim = claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
            keys += [scan.source_key for scan in claim.scans] if claim else []
    return keys


def test_they_are_recorded_at_once_and_workers_get_the_others(
    engine: Engine, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    submitted = submitter.submit(request_of())

    scans = rows(engine, submitted)
    assert {key: (scan.state, scan.error_code, scan.attempts) for key, scan in scans.items()} == {
        "1.tif": (ScanState.FAILED, "archived", 0),
        "2.tif": (ScanState.FAILED, "archived", 0),
        "3.tif": (ScanState.PENDING, None, 0),
        "4.tif": (ScanState.PENDING, None, 0),
        "5.tif": (ScanState.PENDING, None, 0),
    }
    assert "'1.tif' is in cold storage" in (scans["1.tif"].error_message or "")
    assert scans["1.tif"].finished_at is not None
    assert dispatched(engine, submitted) == ["3.tif", "4.tif", "5.tif"]
    counts = progress(engine, submitted)
    assert (counts.total, counts.failed, counts.pending) == (5, 2, 3)
    again = f"restore them, then photochrom retry {submitted.job_id} --code archived"
    assert f"2 of them are in cold storage and can't be coloured yet: {again}" in submitted.sentence()


def test_a_dry_run_counts_them(submitter: Submitter, request_of: Callable[..., Submission]) -> None:
    submitted = submitter.dry_run(request_of(exclude=("2.tif",)))

    assert (submitted.scans, submitted.archived, submitted.to_colour) == (4, 1, 3)
    assert "1 of them is in cold storage" in submitted.sentence()


def test_a_job_with_only_archived_scans_ends_and_can_be_retried(
    engine: Engine, s3: FlakyS3, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    s3.storage_classes = ALL_COLD
    submitted = submitter.submit(request_of(max_failures="0", sample=SampleRequest(2)))

    complete_jobs(engine)

    ended = progress(engine, submitted)
    assert (ended.job.state, ended.failed, ended.scans_per_second) == (JobState.COMPLETED, 5, None)
    with session_scope(engine) as session:
        assert retries.retry_failed(session, submitted.job_id or 0, code="archived", now=NOON) == 5
    assert progress(engine, submitted).job.max_failures == 0
    assert len(dispatched(engine, submitted)) == 5


def test_a_listing_in_the_background_records_them_too(
    engine: Engine, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    submitter.submit_later(request_of())
    with session_scope(engine) as session:
        [listing] = submissions.take_waiting(session, 9, now=NOON + timedelta(days=36500), lease_seconds=60)

    submitted = submitter.go_on(submission_of(listing.request), listing.attempt)

    assert (submitted.archived, progress(engine, submitted).failed) == (2, 2)


def test_the_next_submission_leaves_them_out_until_they_are_restored(
    engine: Engine, s3: FlakyS3, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    first = submitter.submit(request_of(include=("1.tif", "2.tif")))
    complete_jobs(engine)

    again = submitter.submit(request_of(include=("1.tif", "2.tif")))
    assert (again.job_id, again.archived_before) == (None, 2)
    assert "2 scans in cold storage left out that an earlier job recorded as archived" in again.sentence()

    s3.storage_classes = {**CLASSES, "in/1.tif": "GLACIER restored"}
    restored = submitter.submit(request_of(include=("1.tif", "2.tif")))
    assert restored.job_id != first.job_id
    assert {key: scan.state for key, scan in rows(engine, restored).items()} == {"1.tif": ScanState.PENDING}


def test_they_are_submitted_again_if_no_retry_can_bring_them_back(
    engine: Engine, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    first = submitter.submit(request_of())
    with session_scope(engine) as session:
        lifecycle.change_state(session, first.job_id or 0, JobState.CANCELLED, now=NOON)

    again = submitter.submit(request_of())

    assert (again.archived, again.archived_before) == (2, 0)


def test_they_are_no_failures_that_abort_a_job_and_in_no_sample(
    engine: Engine, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    submitted = submitter.submit(request_of(max_failures="0", sample=SampleRequest(5)))

    complete_jobs(engine)

    assert progress(engine, submitted).job.state == JobState.SAMPLED
    with read_scope(engine) as session:
        sample = records.of_job(session, submitted.samples[0])
    assert sorted(scan.source_key for scan in sample) == ["3.tif", "4.tif", "5.tif"]


def test_the_pace_counts_only_what_workers_did(
    engine: Engine, submitter: Submitter, request_of: Callable[..., Submission]
) -> None:
    submitted = submitter.submit(request_of(max_failures="0"))
    with session_scope(engine) as session:
        message = dispatch.take_for_dispatch(session, submitted.job_id or 0, 1, now=NOON)[0]
        claim = claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
        assert claim is not None
        done = ScanMeasurements(output_bytes=1, output_sha256="0" * 64, width=1, height=1)
        ended = [
            ScanRecord(scan.id, ScanState.DONE, 1, done, "w/1", NOON + timedelta(seconds=number + 1))
            for number, scan in enumerate(claim.scans)
        ]
        leases.record(session, message, ended, lease_seconds=60, now=NOON)
        claims.release(session, message, not_before=None)

    complete_jobs(engine)

    counts = progress(engine, submitted)
    assert (counts.job.state, counts.done, counts.failed) == (JobState.RUNNING, 2, 2)
    assert counts.scans_per_second == pytest.approx(1.0, rel=0.01)
    with read_scope(engine) as session:
        assert session.scalar(select(func.sum(Tally.failed_count))) == 0


def inventory(s3_server: S3Server, bucket: str, classes: dict[str, str]) -> str:
    """An inventory that gives these storage classes, and its location."""
    table = "".join(f'"{bucket}","in/{key}","12","abc","{name}"\n' for key, name in classes.items())
    report = {"fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, ETag, StorageClass", "files": [{"key": "a.csv"}]}
    report["destinationBucket"] = f"arn:aws:s3:::{bucket}"
    for key, body in (("a.csv", table), ("inventory/manifest.json", json.dumps(report))):
        s3_server.client().put_object(Bucket=bucket, Key=key, Body=body.encode())
    return f"s3://{bucket}/inventory/manifest.json"


@pytest.mark.parametrize("overwrite", ["changed", "always", "never"])
def test_an_inventory_tells_them_unless_they_were_restored_since(
    overwrite: str,
    engine: Engine,
    s3_server: S3Server,
    bucket: str,
    submitter: Submitter,
    request_of: Callable[..., Submission],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = {"1.tif": "GLACIER", "2.tif": "DEEP_ARCHIVE", "4.tif": "STANDARD", "@eaDir/5.tif": "STANDARD"}
    manifest = inventory(s3_server, bucket, classes)
    real = S3Storage.stat

    def stat(storage: S3Storage, key: str) -> StoredObject | None:
        """2.tif was restored."""
        return StoredObject(key, 12, "abc", is_archived=True) if key == "1.tif" else real(storage, key)

    monkeypatch.setattr(S3Storage, "stat", stat)
    submitted = submitter.submit(request_of(manifest=manifest, overwrite=overwrite))

    states = {key: (scan.state, scan.error_code) for key, scan in rows(engine, submitted).items()}
    assert states == {
        "1.tif": (ScanState.FAILED, "archived"),
        "2.tif": (ScanState.PENDING, None),
        "4.tif": (ScanState.PENDING, None),
    }
    assert (submitted.archived, submitted.leftovers) == (1, 1)
    assert "1 leftover of other programs left out" in submitted.sentence()


def test_of_an_inventory_only_cold_scans_that_are_not_done_are_looked_up(
    s3_server: S3Server,
    bucket: str,
    submitter: Submitter,
    request_of: Callable[..., Submission],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []

    real = S3Storage.stat

    def stat(storage: S3Storage, key: str) -> StoredObject | None:
        if key == "manifest.json":
            return real(storage, key)
        keys.append(key)
        return StoredObject(key, 12, "abc", is_archived=True)

    monkeypatch.setattr(S3Storage, "stat", stat)
    submitter.submit(request_of(manifest=inventory(s3_server, bucket, {"1.tif": "STANDARD", "2.tif": "STANDARD"})))
    assert keys == []
    cold = inventory(s3_server, bucket, {"1.tif": "GLACIER", "2.tif": "GLACIER", "4.tif": "GLACIER"})

    again = submitter.submit(request_of(manifest=cold, include=("*.tif",)))

    assert (keys, again.scans, again.archived, again.underway) == (["4.tif"], 1, 1, 2)


@pytest.mark.parametrize("overwrite", ["changed", "always", "never"])
def test_a_cold_scan_that_may_not_be_looked_up_is_recorded_as_archived(
    overwrite: str,
    s3_server: S3Server,
    bucket: str,
    submitter: Submitter,
    request_of: Callable[..., Submission],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = S3Storage.stat

    def stat(storage: S3Storage, key: str) -> StoredObject | None:
        if key == "manifest.json":
            return real(storage, key)
        raise ScanError("storage_denied", f"{key}: access denied", permanent=True)

    monkeypatch.setattr(S3Storage, "stat", stat)
    manifest = inventory(s3_server, bucket, {"1.tif": "GLACIER", "4.tif": "STANDARD"})

    submitted = submitter.submit(request_of(manifest=manifest, overwrite=overwrite))

    assert (submitted.scans, submitted.archived) == (2, 1)
