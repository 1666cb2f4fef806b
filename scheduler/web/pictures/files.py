"""The file of a picture, and a name that changes when the file changes."""

import hashlib
from dataclasses import dataclass

from db.models.jobs import Job, Scan, ScanState
from worker.errors import NotFound

SIDES = ("before", "after")


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file in a store. `version` changes when its bytes change, as far as the job database knows."""

    uri: str  # of the source or the destination
    key: str
    etag: str | None  # of the source when it was listed; another file under the same key is refused
    version: str
    is_source: bool = False

    @property
    def name(self) -> str:
        """A name that is the same for the same bytes, and safe as a file name and in an address."""
        named = "\0".join((self.uri, self.key, self.version))
        return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def picture_file(job: Job, scan: Scan, side: str) -> PictureFile:
    """The file of a scan. `side`: before or after. Raises NotFound if the scan has no output, and for another side."""
    if side == "before":
        version = scan.source_sha256 or scan.source_etag or "unknown"
        return PictureFile(job.source, scan.source_key, scan.source_etag, version, is_source=True)
    if side != "after":
        raise NotFound(f"{side!r} is not a side of a scan; expected one of {', '.join(SIDES)}")
    if scan.state != ScanState.DONE:
        raise NotFound(f"scan {scan.id} of job {job.id} is {scan.state}: it has no output")
    return PictureFile(job.destination, scan.output_key, None, scan.output_sha256 or "unknown")
