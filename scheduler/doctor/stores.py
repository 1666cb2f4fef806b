"""Where scans lie, and where outputs go."""

import tempfile
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path

from db.errors import ServiceUnavailable
from scheduler.doctor import disk_space
from scheduler.doctor.finding import Finding, State, clock
from worker.errors import ScanError, StorageUnavailable, UsageError
from worker.scans import is_scan_key
from worker.settings.settings import Settings
from worker.storage import FolderLocation, S3Location, open_storage, parse_location

PROBE_KEY = "photochrom-doctor.txt"


def source(settings: Settings, place: str | None) -> Iterator[Finding]:
    """It can be listed, and its first scan read."""
    if place is None:
        do = "photochrom doctor --source s3://bucket/prefix --destination s3://bucket/prefix"
        yield Finding("stores", State.NOTE, "not looked at: no --source and no --destination was given", do)
        return
    storage = open_storage(parse_location(place), s3=settings.s3_options)
    storage.check()
    first = next(islice(storage.list(), 1), None)
    if first is None:
        yield Finding("source", State.WRONG, f"{storage.uri} holds nothing", "name the place where scans lie")
        return
    with tempfile.TemporaryDirectory(dir=settings.scratch_folder) as folder:
        try:
            storage.fetch(first.key, Path(folder, "scan"), etag=first.etag, max_bytes=settings.max_scan_bytes)
        except ScanError as error:
            raise _named(error) from error
    yield Finding("source", State.FINE, f"{storage.uri} can be listed, and {first.key} read")
    yield from _clock("source", settings, place)


def destination(settings: Settings, place: str | None, source: str | None) -> Iterator[Finding]:
    """A file can be written there, which is taken away again, as workers never need to; a folder has room."""
    if place is None:
        return
    storage = open_storage(parse_location(place), s3=settings.s3_options)
    with tempfile.TemporaryDirectory(dir=settings.scratch_folder) as folder:
        probe = Path(folder, PROBE_KEY)
        probe.write_text("written by photochrom doctor; may be removed\n", encoding="utf-8")
        try:
            storage.store(probe, PROBE_KEY, content_type="text/plain")
        except ScanError as error:
            raise _named(error) from error
    yield Finding("destination", State.FINE, f"{storage.uri} can be written")
    yield from _removed(settings, place)
    location = parse_location(place)
    if isinstance(location, FolderLocation):
        sizes = [] if source is None else _sizes(settings, source)
        yield disk_space.of_a_destination(storage.uri, disk_space.Room.of(location.path), sizes)


def _sizes(settings: Settings, source: str) -> list[int]:
    listed = open_storage(parse_location(source), s3=settings.s3_options).list()
    return [each.bytes for each in islice((each for each in listed if is_scan_key(each.key)), disk_space.SAMPLE_SCANS)]


def _removed(settings: Settings, place: str) -> Iterator[Finding]:
    location = parse_location(place)
    if isinstance(location, FolderLocation):
        (location.path / PROBE_KEY).unlink()
        return
    from botocore.exceptions import BotoCoreError, ClientError

    from worker.storage.s3.client import make_client

    key = f"{location.prefix}/{PROBE_KEY}".lstrip("/")
    try:
        make_client(settings.s3_options).delete_object(Bucket=location.bucket, Key=key)
    except (BotoCoreError, ClientError):
        yield Finding("destination", State.NOTE, f"{place}/{PROBE_KEY} stays there: it may not be removed")


def _clock(what: str, settings: Settings, place: str) -> Iterator[Finding]:
    location = parse_location(place)
    if isinstance(location, S3Location):
        yield clock(what, _time_at(settings, location))


def _time_at(settings: Settings, location: S3Location) -> datetime:
    from worker.storage.s3.client import make_client

    answer = make_client(settings.s3_options).list_objects_v2(Bucket=location.bucket, MaxKeys=1)
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _named(error: ScanError) -> Exception:
    """A worker's error as the doctor's: what passes is a service that is away."""
    return (ServiceUnavailable if isinstance(error, StorageUnavailable) else UsageError)(error.message)
