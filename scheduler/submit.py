"""List a collection, and insert it as a job."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine

from db.clock import utc_now
from db.models import JobState
from db.queries import jobs, scans
from db.queries.jobs import NewScan
from db.session import read_scope, session_scope
from scheduler.manifest import Entry, matches, read_manifest
from worker.errors import UsageError
from worker.scans import FORMATS, is_scan_key, output_format, output_key
from worker.scans.formats import COMPRESSIONS
from worker.storage import FolderLocation, Location, S3Options, Storage, open_storage, overlap, parse_location

COLOUR_SCANS = ("skip", "colourize")
OVERWRITE = ("never", "changed", "always")
_MAX_FAILURES = re.compile(r"[0-9]{1,9}|[0-9]{1,2}%|100%")
PAGE_SCANS = 4_096  # inserted, and shown as progress, at a time; a whole number of default chunks


@dataclass(frozen=True, slots=True)
class Submission:
    """What a person asks for. `missing_only` leaves out what an earlier job did and the destination still has."""

    source: str
    destination: str
    format: str = "source"
    quality: int = 95  # of JPEG outputs, 1..100
    priority: int = 0
    name: str | None = None
    missing_only: bool = False
    compression: str = "deflate"  # of TIFF outputs
    pyramid: bool = False  # in TIFF outputs
    colour_scans: str = "skip"  # scans that are in colour already: skip or colourize
    overwrite: str = "always"  # never: leave out what the destination has; changed: as missing_only
    manifest: str | None = None  # a file, or s3://bucket/key; without it, everything under the source
    include: tuple[str, ...] = ()  # patterns, see scheduler.manifest
    exclude: tuple[str, ...] = ()
    max_failures: str | None = None  # "20" or "5%": the job stops itself when more scans have failed

    def __post_init__(self) -> None:
        if self.colour_scans not in COLOUR_SCANS:
            raise UsageError(f"--colour-scans {self.colour_scans}: expected one of {', '.join(COLOUR_SCANS)}")
        if self.compression not in COMPRESSIONS:
            raise UsageError(f"--compression {self.compression}: expected one of {', '.join(COMPRESSIONS)}")
        if self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: expected one of {', '.join(FORMATS)}")
        if self.overwrite not in OVERWRITE:
            raise UsageError(f"--overwrite {self.overwrite}: expected one of {', '.join(OVERWRITE)}")
        if self.missing_only and self.overwrite == "never":
            raise UsageError("--missing-only and --overwrite never: expected one of the two")
        if self.max_failures is not None and not _MAX_FAILURES.fullmatch(self.max_failures):
            raise UsageError(f"--max-failures {self.max_failures}: expected a number of scans, such as 20, or 5%")

    def failures_allowed(self, scan_count: int) -> int | None:
        """How many of so many scans may fail; None for any number."""
        if self.max_failures is None:
            return None
        number = int(self.max_failures.removesuffix("%"))
        return scan_count * number // 100 if self.max_failures.endswith("%") else number

    @property
    def only_changed(self) -> bool:
        return self.missing_only or self.overwrite == "changed"

    @property
    def selection(self) -> dict[str, Any] | None:
        """What chooses among the source's scans; None when all are meant."""
        chosen = {"manifest": self.manifest, "include": list(self.include), "exclude": list(self.exclude)}
        return chosen if any(chosen.values()) else None

    @property
    def options(self) -> dict[str, Any]:
        """What decides how an output looks, as the job's row keeps it."""
        return {
            "format": self.format,
            "quality": self.quality,
            "compression": self.compression,
            "pyramid": self.pyramid,
            "colour_scans": self.colour_scans,
        }


@dataclass(slots=True)
class Submitted:
    """What the listing held; `job_id` None when there was nothing to do, or for a dry run."""

    job_id: int | None = None
    scans: int = 0
    bytes: int = 0
    others: int = 0  # files that are no scans, by their names
    present: int = 0  # left out, as the destination has them
    unwanted: int = 0  # left out by --include or --exclude
    already: bool = False  # `job_id` is an earlier job that does the same and has not ended

    def as_dict(self) -> dict[str, int | None]:  # bool is an int
        return asdict(self)

    def sentence(self) -> str:
        if self.already:
            return f"job {self.job_id} does this already; photochrom status {self.job_id}"
        what = (
            f"job {self.job_id} has" if self.job_id is not None else "no job is made;" if self.present else "would be"
        )
        left_out = f", {self.present} left out that are done already" if self.present else ""
        plural = "" if self.scans == 1 else "s"
        others = f", {self.others} other files passed over" if self.others else ""
        return f"{what} {self.scans} scan{plural}, {self.bytes / 1e6:.1f} MB{left_out}{others}"


def open_both(asked: Submission, s3: S3Options) -> tuple[Storage, Storage]:
    """The source and the destination, checked; raises UsageError for a pair that can't be used, ServiceUnavailable."""
    source, destination = parse_location(asked.source), parse_location(asked.destination)
    if overlap(source, destination):
        raise UsageError(
            f"the destination {asked.destination} is, holds or lies inside the source {asked.source}; "
            "expected a place apart, so that no output can touch a source; name another destination"
        )
    opened = open_storage(source, s3=s3), open_storage(destination, s3=s3)
    opened[0].check()
    if not _is_new_folder(destination):
        opened[1].check()
    return opened


def _is_new_folder(location: Location) -> bool:
    """A destination folder need not be there: submitting makes it. Workers don't: theirs may just not be mounted."""
    return isinstance(location, FolderLocation) and not location.path.exists()


def _make_destination(location: Location) -> None:
    if isinstance(location, FolderLocation):
        try:
            location.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the destination {location.uri} can't be made ({error.strerror}); name another") from None


class Submitter:
    """Submits to one database. `progress(submitted)` is called after each page."""

    def __init__(
        self,
        engine: Engine,
        *,
        s3: S3Options,
        chunk_scans: int,
        progress: Callable[[Submitted], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._s3 = s3
        self._chunk_scans = chunk_scans
        self._progress = progress

    def submit(self, asked: Submission, *, dry_run: bool = False) -> Submitted:
        """List the source and insert its scans as a job, all or nothing.

        Raises UsageError for locations that can't be used or hold no scan; ServiceUnavailable.
        """
        source, destination = open_both(asked, self._s3)
        submitted = Submitted()
        if not dry_run and (same := self._same(asked, source, destination)) is not None:
            return Submitted(job_id=same, already=True)
        try:
            for page in self._pages(asked, source, destination, submitted):
                if not dry_run:
                    self._insert(asked, source, destination, page, submitted)
                self._progress(submitted)
            self._finish(asked, source, submitted)
        except BaseException:
            if submitted.job_id is not None:
                with session_scope(self._engine) as session:
                    jobs.remove(session, submitted.job_id)
            raise
        return submitted

    def _pages(
        self, asked: Submission, source: Storage, destination: Storage, submitted: Submitted
    ) -> Iterator[list[NewScan]]:
        at_destination: dict[str, int] = {}
        if (asked.only_changed or asked.overwrite == "never") and not _is_new_folder(parse_location(asked.destination)):
            at_destination = {found.key: found.bytes for found in destination.list()}
        page: list[NewScan] = []
        for found in self._listing(asked, source):
            if "\0" in found.key:
                raise UsageError(f"{source.uri} holds the key {found.key!r}, which no database can keep; rename it")
            if not is_scan_key(found.key):
                submitted.others += 1
                continue
            if not matches(found.key, asked.include, asked.exclude):
                submitted.unwanted += 1
                continue
            page.append(NewScan(found.key, found.etag, found.bytes, _output_key(found, asked.format)))
            if len(page) == PAGE_SCANS:
                yield self._wanted(asked, source, destination, page, at_destination, submitted)
                page = []
        if page:
            yield self._wanted(asked, source, destination, page, at_destination, submitted)

    def _listing(self, asked: Submission, source: Storage) -> Iterator[Entry]:
        if asked.manifest is not None:
            yield from read_manifest(asked.manifest, source.uri, self._s3)
            return
        for found in source.list():
            yield Entry(found.key, found.etag, found.bytes)

    def _same(self, asked: Submission, source: Storage, destination: Storage) -> int | None:
        """The job that does this already and has not ended; raises UsageError when it is not fully listed yet."""
        with read_scope(self._engine) as session:
            same = [
                job
                for job in jobs.unfinished(session)
                if (job.source, job.destination, job.options, job.selection)
                == (source.uri, destination.uri, asked.options, asked.selection)
            ]
        if not same:
            return None
        if same[0].state == JobState.SUBMITTING:
            raise UsageError(
                f"job {same[0].id} is being submitted with the same scans; wait for it, or if its submit was killed: "
                f"photochrom cancel {same[0].id}, then submit again"
            )
        return same[0].id

    def _wanted(
        self,
        asked: Submission,
        source: Storage,
        destination: Storage,
        page: list[NewScan],
        at_destination: dict[str, int],
        submitted: Submitted,
    ) -> list[NewScan]:
        if asked.overwrite == "never":
            missing = [scan for scan in page if scan.output_key not in at_destination]
            submitted.present += len(page) - len(missing)
            page = missing
        elif asked.only_changed:
            with read_scope(self._engine) as session:
                done = scans.done_before(
                    session,
                    source=source.uri,
                    destination=destination.uri,
                    options=asked.options,
                    output_keys=[scan.output_key for scan in page],
                )
            whole = [
                scan
                for scan in page
                if (scan.output_key, scan.source_etag, at_destination.get(scan.output_key)) not in done
            ]
            submitted.present += len(page) - len(whole)
            page = whole
        submitted.scans += len(page)
        submitted.bytes += sum(scan.source_bytes or 0 for scan in page)
        return page

    def _insert(
        self, asked: Submission, source: Storage, destination: Storage, page: Sequence[NewScan], submitted: Submitted
    ) -> None:
        if not page:
            return
        with session_scope(self._engine) as session:
            if submitted.job_id is None:
                _make_destination(parse_location(asked.destination))
                submitted.job_id = jobs.create(
                    session,
                    name=asked.name or source.uri,
                    source=source.uri,
                    destination=destination.uri,
                    options=asked.options,
                    selection=asked.selection,
                    priority=asked.priority,
                    now=utc_now(),
                )
            jobs.add_scans(session, submitted.job_id, page, chunk_scans=self._chunk_scans)

    def _finish(self, asked: Submission, source: Storage, submitted: Submitted) -> None:
        if submitted.unwanted and not submitted.scans and not submitted.present:
            raise UsageError(f"--include and --exclude leave none of {submitted.unwanted} scans; correct the patterns")
        if not submitted.scans and not submitted.present:
            raise _no_scan(source, submitted.others)
        if submitted.job_id is not None:
            with session_scope(self._engine) as session:
                jobs.start(
                    session,
                    submitted.job_id,
                    other_count=submitted.others,
                    max_failures=asked.failures_allowed(submitted.scans),
                )


def _output_key(found: Entry, format: str) -> str:
    """A manifest's own output key, if it gives one; raises UsageError when that is no place for the format."""
    own = output_key(found.key, format)
    if found.output is None:
        return own
    if not is_scan_key(found.output) or output_format(found.output, "source") != output_format(own, "source"):
        raise UsageError(
            f"the manifest's output {found.output!r} for {found.key!r} does not end like {own!r}; "
            "correct it, or choose its format with --format"
        )
    return found.output


def expect_a_scan(source: Storage) -> None:
    """Raises UsageError where the listing holds none."""
    others = 0
    for found in source.list():
        if is_scan_key(found.key):
            return
        others += 1
    raise _no_scan(source, others)


def _no_scan(source: Storage, others: int) -> UsageError:
    found = f"{others} files, none of them a scan" if others else "nothing"
    return UsageError(
        f"{source.uri} holds {found}; expected files that end in .jpg, .jpeg, .png, .tif or .tiff; check the location"
    )
