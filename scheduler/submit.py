"""List a collection, and insert it as a job."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine

from db.clock import utc_now
from db.queries import jobs, scans
from db.queries.jobs import NewScan
from db.session import read_scope, session_scope
from worker.errors import UsageError
from worker.scans import FORMATS, is_scan_key, output_key
from worker.scans.formats import COMPRESSIONS
from worker.storage import FolderLocation, Location, S3Options, Storage, open_storage, overlap, parse_location

COLOUR_SCANS = ("skip", "colourize")
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

    def __post_init__(self) -> None:
        if self.colour_scans not in COLOUR_SCANS:
            raise UsageError(f"--colour-scans {self.colour_scans}: expected one of {', '.join(COLOUR_SCANS)}")
        if self.compression not in COMPRESSIONS:
            raise UsageError(f"--compression {self.compression}: expected one of {', '.join(COMPRESSIONS)}")
        if self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: expected one of {', '.join(FORMATS)}")

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
    present: int = 0  # left out by missing_only

    def as_dict(self) -> dict[str, int | None]:
        return asdict(self)

    def sentence(self) -> str:
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
    """A destination folder need not be there: the first output makes it."""
    return isinstance(location, FolderLocation) and not location.path.exists()


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
        try:
            for page in self._pages(asked, source, destination, submitted):
                if not dry_run:
                    self._insert(asked, source, destination, page, submitted)
                self._progress(submitted)
            self._finish(source, submitted)
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
        if asked.missing_only and not _is_new_folder(parse_location(asked.destination)):
            at_destination = {found.key: found.bytes for found in destination.list()}
        page: list[NewScan] = []
        for found in source.list():
            if not is_scan_key(found.key):
                submitted.others += 1
                continue
            page.append(NewScan(found.key, found.etag, found.bytes, output_key(found.key, asked.format)))
            if len(page) == PAGE_SCANS:
                yield self._wanted(asked, source, destination, page, at_destination, submitted)
                page = []
        if page:
            yield self._wanted(asked, source, destination, page, at_destination, submitted)

    def _wanted(
        self,
        asked: Submission,
        source: Storage,
        destination: Storage,
        page: list[NewScan],
        at_destination: dict[str, int],
        submitted: Submitted,
    ) -> list[NewScan]:
        if asked.missing_only:
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
        submitted.bytes += sum(scan.source_bytes for scan in page)
        return page

    def _insert(
        self, asked: Submission, source: Storage, destination: Storage, page: Sequence[NewScan], submitted: Submitted
    ) -> None:
        if not page:
            return
        with session_scope(self._engine) as session:
            if submitted.job_id is None:
                submitted.job_id = jobs.create(
                    session,
                    name=asked.name or source.uri,
                    source=source.uri,
                    destination=destination.uri,
                    options=asked.options,
                    priority=asked.priority,
                    now=utc_now(),
                )
            jobs.add_scans(session, submitted.job_id, page, chunk_scans=self._chunk_scans)

    def _finish(self, source: Storage, submitted: Submitted) -> None:
        if not submitted.scans and not submitted.present:
            found = f"{submitted.others} files, none of them a scan" if submitted.others else "nothing"
            raise UsageError(
                f"{source.uri} holds {found}; expected files that end in .jpg, .jpeg, .png, .tif or .tiff; "
                "check the location"
            )
        if submitted.job_id is not None:
            with session_scope(self._engine) as session:
                jobs.start(session, submitted.job_id, other_count=submitted.others)
