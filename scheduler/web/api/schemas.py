"""The bodies and answers of the API, for OpenAPI and for checking them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from sqlalchemy import Table

from db.models.base import Base
from db.models.jobs import Scan
from db.models.pool import Worker
from db.models.schedules import Firing, Schedule
from scheduler.submission.request import Submission
from scheduler.submission.sampling import MOST_SCANS, parse_sample
from scheduler.web.parameters import Note, ScanId, Words
from worker.errors import UsageError
from worker.inference.colour_options import LARGEST_SATURATION
from worker.storage import FolderLocation, parse_location

MOST_AT_ONCE = 1_000
Place = Annotated[Words, Field(min_length=1, max_length=2_000)]
Pattern = Annotated[Words, Field(max_length=2_000)]


def row_schema(name: str, table: type[Base], **more: Any) -> type[BaseModel]:
    """A model with every column of a table's row, so that none is forgotten."""
    assert isinstance(table.__table__, Table)
    fields: dict[str, Any] = {}
    for column in table.__table__.columns:
        python_type = Any if column.type.python_type in (dict, list) else column.type.python_type
        fields[column.key] = (python_type | None if column.nullable and python_type is not Any else python_type, ...)
    return create_model(name, **(fields | more))


class Problem(BaseModel):
    """RFC 9457; `code` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] | None = None


class JobOut(BaseModel):
    """A job and its progress, in counts of scans."""

    job: int
    name: str
    state: str
    source: str
    destination: str
    options: dict[str, Any]
    priority: int
    scans: int
    done: int
    failed: int
    skipped: int
    pending: int
    scans_per_second: float | None
    seconds_left: float | None
    created_at: datetime
    finished_at: datetime | None
    report: str | None
    archive: str | None  # of an archived job: where its scans' rows lie
    max_failures: int | None
    aborted_because: str | None
    submitted_by: str | None
    hints: list[str]
    model_config = ConfigDict(extra="allow")


class JobPage(BaseModel):
    jobs: list[JobOut]
    next: int | None = Field(description="The `before` of the next page; null after the last page.")


ScanOut = row_schema("Scan", Scan)
WorkerOut = row_schema("Worker", Worker, state=(str, ...))
ScheduleOut = row_schema("Schedule", Schedule, warnings=(list[str], []))
FiringOut = row_schema("Firing", Firing, job_state=(str | None, ...))


class ScanPage(BaseModel):
    scans: list[ScanOut]  # type: ignore[valid-type]  # made at run time, from the table
    next: str | None = Field(description="The `cursor` of the next page; null after the last page.")


class HistoryOut(BaseModel):
    """A scan in one job: every column of its row. Of an archived scan, only these, and where the rest is."""

    id: int
    job_id: int
    job_name: str
    job_state: str
    state: str
    error_code: str | None
    error_message: str | None
    source_key: str
    source_etag: str | None
    output_key: str
    output_bytes: int | None
    checkpoint: str | None
    verdict: str | None
    finished_at: datetime | None
    model_config = ConfigDict(extra="allow")


class HistoryPage(BaseModel):
    scans: list[HistoryOut]
    next: str | None = Field(description="The `cursor` of the next page; null after the last page.")


class SubmissionBody(BaseModel):
    """What to colourize, and how. The names are those of `photochrom submit`."""

    source: Place
    destination: Place
    name: Annotated[Words, Field(min_length=1, max_length=500)] | None = None
    format: Literal["source", "jpeg", "png", "tiff", "jp2"] = "source"
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    compression: Literal["deflate", "lzw", "none"] = "deflate"
    pyramid: bool = False
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    label: Annotated[Words, Field(max_length=200)] | None = None
    bag: bool = False
    colour_scans: Literal["skip", "colourize"] = "skip"
    overwrite: Literal["never", "new", "changed", "always"] = "changed"
    overwrite_accepted: bool = False
    output_prefix: Annotated[Words, Field(min_length=1, max_length=500)] | None = None
    manifest: Place | None = None
    include: Annotated[list[Pattern], Field(max_length=100)] = []
    exclude: Annotated[list[Pattern], Field(max_length=100)] = []
    max_failures: Annotated[str, Field(pattern=r"^([0-9]{1,9}|[0-9]{1,2}%|100%)$")] | None = None
    head: Literal["paper", "vivid"] | None = None
    embedding: Annotated[Words, Field(min_length=1, max_length=64)] | None = None
    saturation: Annotated[float, Field(ge=0, le=LARGEST_SATURATION, allow_inf_nan=False)] | None = None
    sample: Annotated[int, Field(ge=1, le=MOST_SCANS)] | None = None
    heads: Annotated[str, Field(pattern=r"^[a-z, ]{0,100}$")] | None = None
    saturations: Annotated[str, Field(pattern=r"^[0-9., ]{0,100}$")] | None = None
    model_config = ConfigDict(extra="forbid")

    def submission(self) -> Submission:
        """Raises UsageError, also for a manifest on this machine that is outside the source."""
        _expect_in_source(self.manifest, self.source)
        names = set(SubmissionBody.model_fields) - {"sample", "heads", "saturations"}
        fields = {name: value for name, value in self.model_dump().items() if name in names}
        several = {"include": tuple(self.include), "exclude": tuple(self.exclude)}
        sample = parse_sample(self.sample, self.heads, self.saturations)
        return Submission(**{**fields, **several, "sample": sample})


def _expect_in_source(manifest: str | None, source: str) -> None:
    """Raises UsageError for other files of this machine, because nobody may make it open them over HTTP."""
    if manifest is None or manifest.startswith("s3://"):
        return
    location = parse_location(source)
    if not isinstance(location, FolderLocation) or not _resolved(manifest).is_relative_to(_resolved(location.path)):
        raise UsageError(f"the manifest {manifest} is outside the source; give s3://bucket/key or a file in {source}")


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        raise UsageError(f"{str(path)!r} is not the path of a file; check it") from None


class SubmittedOut(BaseModel):
    """The result of the listing. `job_id` is null if there was nothing to do, or for a dry run."""

    job_id: int | None
    scans: int
    bytes: int
    formats: dict[str, int] = {}  # answers that an earlier version has stored lack it
    others: int
    extensions: dict[str, int]
    present: int
    replaced: int = 0  # lacking in answers that an earlier version has stored
    underway: int
    accepted: int
    damaged: int
    unwanted: int
    leftovers: int
    unlisted: list[str]
    unlisted_count: int
    already: bool
    resumed: bool
    dry_run: bool
    hours: tuple[float, float] | None
    sentence: str
    model_config = ConfigDict(extra="allow")


class StateOut(BaseModel):
    job: int
    state: str


class ChoiceBody(BaseModel):
    """How the other scans of a sampled job are coloured. null: as the job's options say."""

    head: Literal["paper", "vivid"] | None = None
    saturation: Annotated[float, Field(ge=0, le=LARGEST_SATURATION, allow_inf_nan=False)] | None = None
    model_config = ConfigDict(extra="forbid")


class RetryBody(BaseModel):
    code: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] | None = None
    model_config = ConfigDict(extra="forbid")


class PriorityBody(BaseModel):
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
    model_config = ConfigDict(extra="forbid")


def _once(scans: list[int]) -> list[int]:
    if len(set(scans)) != len(scans):
        raise ValueError("names a scan twice")
    return scans


Scans = Annotated[list[ScanId], Field(min_length=1, max_length=MOST_AT_ONCE), AfterValidator(_once)]


# By the scan's id, the review that the reviewer saw; None for none.
Seen = Annotated[dict[ScanId, ScanId | None] | None, Field(max_length=MOST_AT_ONCE)]


class ReviewBody(BaseModel):
    """A verdict on outputs. `seen`: by the scan's id, the review that the reviewer saw; null for none."""

    scans: Scans
    verdict: Literal["accept", "reject"]
    note: Note = None
    seen: Seen = None
    model_config = ConfigDict(extra="forbid")


class RedoChoices(BaseModel):
    """Options with which outputs are made again; null: the same as before."""

    checkpoint: Annotated[Words, Field(min_length=1, max_length=64)] | None = None
    head: Literal["paper", "vivid"] | None = None
    embedding: Annotated[Words, Field(min_length=1, max_length=64)] | None = None
    saturation: Annotated[float, Field(ge=0, le=LARGEST_SATURATION, allow_inf_nan=False)] | None = None
    note: Note = None
    model_config = ConfigDict(extra="forbid")

    def options(self) -> dict[str, Any]:
        chosen = self.model_dump(include={"checkpoint", "head", "embedding", "saturation"})
        return {name: value for name, value in chosen.items() if value is not None}


class RedoBody(RedoChoices):
    """Outputs to be made again, beside the earlier ones. `seen`: as for a verdict."""

    scans: Scans
    seen: Seen = None


class KeepBody(BaseModel):
    """Which result of redone outputs to keep: `keep` the earlier ones, or `take` the new ones. `seen`: as for a
    verdict.
    """

    scans: Scans
    choice: Literal["keep", "take"]
    note: Note = None
    seen: Seen = None
    model_config = ConfigDict(extra="forbid")


class KeptOut(BaseModel):
    """The jobs that put the new outputs into the place of the earlier ones; none for `keep`."""

    scans: int
    jobs: list[int]


class ReviewedOut(BaseModel):
    scans: int


class RedoneOut(BaseModel):
    job: int


class UndoneOut(BaseModel):
    scan: int


class VerdictOut(BaseModel):
    id: int  # what `seen` names
    scan_id: int
    source_key: str
    verdict: str
    reviewed_by: str
    reviewed_at: datetime
    note: str | None
    redo_job_id: int | None


class ScheduleBody(SubmissionBody):
    """A submission and its times. `overwrite` is always `new`."""

    cron: Annotated[Words, Field(max_length=200)]
    timezone: Annotated[Words, Field(max_length=100)] = "UTC"
