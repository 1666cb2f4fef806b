"""The stores: the source of scans, and the destination of outputs."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from db.errors import ServiceUnavailable
from scheduler.doctor import disk_space, s3_stores
from scheduler.doctor.finding import Finding, State, clock
from worker.errors import ScanError, StorageUnavailable, UsageError
from worker.scans import is_scan_key
from worker.settings.settings import Settings
from worker.storage import S3Location, open_storage, parse_location

PROBE_KEY = "photochrom-doctor.txt"
_LOOKED_AT = 1_000  # files of a source that are searched for one that can be read


def source(settings: Settings, place: str | None) -> Iterator[Finding]:
    """Whether the source can be listed and its first file can be read. Files in cold storage are not read."""
    if place is None:
        remedy = "photochrom doctor --source s3://bucket/prefix --destination s3://bucket/prefix"
        yield Finding("stores", State.NOTE, "not checked, since --source is missing", remedy)
        return
    storage = open_storage(parse_location(place), s3=settings.s3_options, is_source=True)
    storage.check()
    objects = list(islice(storage.list(), _LOOKED_AT))
    first = next((stored for stored in objects if not stored.is_archived), None)
    if not objects:
        yield Finding("source", State.WRONG, f"{storage.uri} holds nothing", "name the place of the scans")
        return
    if first is None:
        sentence = f"{storage.uri} can be listed; of its first {len(objects):,} files all are in cold storage"
        yield Finding("source", State.NOTE, sentence, "restore them before they are to be coloured")
        return
    with tempfile.TemporaryDirectory(dir=settings.scratch_folder) as folder:
        try:
            storage.fetch(first.key, Path(folder, "scan"), etag=first.etag, max_bytes=settings.max_scan_bytes)
        except ScanError as error:
            raise _as_doctor_error(error) from error
    yield Finding("source", State.FINE, f"{storage.uri} can be listed, and {first.key} read")
    yield from _clock("source", settings, place)


def destination(settings: Settings, place: str | None, source: str | None) -> Iterator[Finding]:
    """Whether a small file and a file in parts can be written, and whether a folder has room.

    The test files are removed.
    """
    if place is None:
        return
    storage = open_storage(parse_location(place), s3=settings.s3_options)
    with tempfile.TemporaryDirectory(dir=settings.scratch_folder) as folder:
        probe = Path(folder, PROBE_KEY)
        probe.write_text("written by photochrom doctor; may be removed\n", encoding="utf-8")
        try:
            storage.store(probe, PROBE_KEY, content_type="text/plain")
        except ScanError as error:
            raise _as_doctor_error(error) from error
    yield Finding("destination", State.FINE, f"{storage.uri} can be written")
    location = parse_location(place)
    if isinstance(location, S3Location):
        signed = replace(settings.s3_options, unsigned=False)
        yield from s3_stores.removed(location, PROBE_KEY, signed)
        yield from s3_stores.in_parts(location, signed)
    else:
        (location.path / PROBE_KEY).unlink()
        sizes = [] if source is None else _sizes(settings, source)
        yield disk_space.of_a_destination(storage.uri, disk_space.Room.of(location.path), sizes)


def _sizes(settings: Settings, source: str) -> list[int]:
    """Bytes of the first scans."""
    objects = open_storage(parse_location(source), s3=settings.s3_options, is_source=True).list()
    sizes = (stored.bytes for stored in objects if is_scan_key(stored.key))
    return list(islice(sizes, disk_space.SAMPLE_SCANS))


def _clock(subject: str, settings: Settings, place: str) -> Iterator[Finding]:
    location = parse_location(place)
    if isinstance(location, S3Location):
        yield clock(subject, s3_stores.time_at(location, settings.s3_options))


def _as_doctor_error(error: ScanError) -> Exception:
    """A worker's error as an error of the doctor: if it may pass, a service is unavailable."""
    return (ServiceUnavailable if isinstance(error, StorageUnavailable) else UsageError)(error.message)
