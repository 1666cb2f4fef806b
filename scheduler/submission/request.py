"""A submission, and its result."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from db.queries.pool.throughput import Pace
from scheduler.submission.sampling import SampleRequest
from scheduler.text import counted
from worker.errors import UsageError
from worker.inference.colour_options import ColourOptions
from worker.scans import FORMATS, output_format
from worker.scans.format_names import COMPRESSIONS, FORMAT_NAMES

COLOUR_SCANS = ("skip", "colourize")
OVERWRITE = ("never", "new", "changed", "always")
_MAX_FAILURES = re.compile(r"[0-9]{1,9}|[0-9]{1,2}%|100%")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a person submits. `missing_only` is the former name of `overwrite="changed"`."""

    source: str
    destination: str
    format: str = "source"
    quality: int = 95  # of JPEG outputs, 1..100
    priority: int = 0
    name: str | None = None
    missing_only: bool = False
    compression: str = "deflate"  # of TIFF outputs
    pyramid: bool = False  # in TIFF outputs
    label: str | None = None  # a small visible mark
    bag: bool = False  # the destination becomes a BagIt bag
    colour_scans: str = "skip"  # scans that are in colour already: skip or colourize
    # never, changed, new or always: see scheduler.submission.existing_outputs
    overwrite: str = "changed"
    overwrite_accepted: bool = False  # also make accepted outputs again
    output_prefix: str | None = None  # a folder in the destination for all outputs
    manifest: str | None = None  # a file, or s3://bucket/key; without it, everything under the source
    include: tuple[str, ...] = ()  # patterns, see scheduler.submission.manifest
    exclude: tuple[str, ...] = ()
    max_failures: str | None = None  # "20" or "5%": the job is aborted if more scans fail
    head: str | None = None  # these three: see worker.inference.colour_options; None: the worker's default
    embedding: str | None = None
    saturation: float | None = None
    sample: SampleRequest | None = None  # colour these first, and wait until a person has chosen

    def __post_init__(self) -> None:
        if self.colour_scans not in COLOUR_SCANS:
            raise UsageError(f"--colour-scans {self.colour_scans}: expected one of {', '.join(COLOUR_SCANS)}")
        if self.compression not in COMPRESSIONS:
            raise UsageError(f"--compression {self.compression}: expected one of {', '.join(COMPRESSIONS)}")
        if self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: expected one of {', '.join(FORMATS)}")
        if self.overwrite not in OVERWRITE:
            raise UsageError(f"--overwrite {self.overwrite}: expected one of {', '.join(OVERWRITE)}")
        if self.output_prefix is not None:
            _check_prefix(self.output_prefix)
        if self.label is not None:
            from worker.scans.writing.watermark import check_label  # this import loads a font

            check_label(self.label)
        if self.missing_only and self.overwrite != "changed":
            raise UsageError(f"--missing-only and --overwrite {self.overwrite}: expected one of the two")
        self.colours.as_job_options()
        if self.max_failures is not None and not _MAX_FAILURES.fullmatch(self.max_failures):
            raise UsageError(f"--max-failures {self.max_failures}: expected a number of scans, such as 20, or 5%")

    def as_json(self) -> dict[str, Any]:
        """The submission as plain values, for `submission_of`. The path of a manifest file is absolute, because another
        process reads it.
        """
        values = asdict(self)
        if self.manifest and not self.manifest.startswith("s3://"):
            values["manifest"] = str(Path(self.manifest).absolute())
        return values

    def failures_allowed(self, scan_count: int, *, archived: int = 0) -> int | None:
        """How many of `scan_count` scans may fail; None for any number.

        archived: the number of other scans that are recorded as archived from the start. They are added to the number,
        so that they do not stop the job.
        """
        if self.max_failures is None:
            return None
        number = int(self.max_failures.removesuffix("%"))
        return archived + (scan_count * number // 100 if self.max_failures.endswith("%") else number)

    @property
    def colours(self) -> ColourOptions:
        """The options for colours. Raises UsageError for an invalid one."""
        return ColourOptions(self.head, self.embedding, 1.0 if self.saturation is None else self.saturation)

    def selection(self, manifest_version: str | None) -> dict[str, Any] | None:
        """The options that select scans of the source, in the form of the job's row; None if all scans are selected."""
        chosen: dict[str, Any] = {}
        if self.manifest or self.include or self.exclude:
            chosen = {"manifest": self.manifest, "include": list(self.include), "exclude": list(self.exclude)}
        if self.manifest:
            chosen["manifest_version"] = manifest_version
        if self.overwrite != "always":
            chosen["overwrite"] = self.overwrite
        if self.overwrite_accepted:
            chosen["overwrite_accepted"] = True
        return chosen or None

    @property
    def options(self) -> dict[str, Any]:
        """The options that decide how an output looks, in the form of the job's row."""
        return {
            "format": self.format,
            "quality": self.quality,
            "compression": self.compression,
            "pyramid": self.pyramid,
            "colour_scans": self.colour_scans,
            "label": self.label,
            "bag": self.bag,
            **self.colours.as_job_options(),
            "output_prefix": self.output_prefix,
        }


def submission_of(values: dict[str, Any]) -> Submission:
    """The submission whose values `Submission.as_json` gave."""
    lists = {name: tuple(values[name]) for name in ("include", "exclude")}
    sample = values["sample"]
    if sample is not None:
        several = {name: tuple(sample[name]) for name in ("heads", "saturations")}
        sample = SampleRequest(**{**sample, **several})
    return Submission(**{**values, **lists, "sample": sample})


def _check_prefix(prefix: str) -> None:
    parts = prefix.split("/")
    if "\\" in prefix or not prefix.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise UsageError(
            f"--output-prefix {prefix!r} is not a folder inside the destination; expected one such as box2"
        )


_MOST_EXTENSIONS = 1_000  # at most this many different extensions are counted
_SHOWN_EXTENSIONS = 5
_COUNTS = (
    "scans",
    "bytes",
    "others",
    "present",
    "underway",
    "accepted",
    "damaged",
    "unwanted",
    "leftovers",
    "archived",
    "archived_bytes",
    "archived_before",
    "replaced",
)


def same_options(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two jobs' options make the same outputs.

    An option that is missing in an older job's row has its default.
    """
    return not other_options(one, other)


def other_options(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of the options, as the command line has them, in which two jobs' outputs differ."""
    defaults = Submission("", "").options
    one, other = {**defaults, **one}, {**defaults, **other}
    return [name.replace("_", "-") for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def covers(done: dict[str, Any] | None, selection: dict[str, Any] | None) -> bool:
    """Whether a job with the selection `done` colours everything that `selection` selects."""
    return done == selection or (done or {}) == {
        key: value for key, value in (selection or {}).items() if key != "overwrite"
    }


@dataclass(slots=True)
class Submitted:
    """The result of a submission. `job_id` is None if there was nothing to do, or for a dry run."""

    job_id: int | None = None
    scans: int = 0
    bytes: int = 0
    formats: dict[str, int] = field(default_factory=dict)  # how many of `scans` have each format, by their extensions
    others: int = 0  # files whose names are not those of scans
    extensions: dict[str, int] = field(default_factory=dict)  # how many of these have each extension; "" for none
    present: int = 0  # left out, because the destination has their outputs
    underway: int = 0  # left out, because another job is going to make them
    accepted: int = 0  # left out, because a person accepted the outputs
    damaged: int = 0  # left out, because they were found damaged and have not changed
    unwanted: int = 0  # left out by --include or --exclude
    leftovers: int = 0  # left out: files of other programs and systems beside the scans
    archived: int = 0  # of `scans`: they are in cold storage, recorded as archived, and must be restored first
    archived_bytes: int = 0  # of these
    archived_before: int = 0  # left out: in cold storage, and an earlier job has recorded it
    replaced: int = 0  # of `scans`: outputs that exist are replaced by theirs
    unlisted: list[str] = field(default_factory=list)  # the first few keys that can't be listed, with the reason
    unlisted_count: int = 0
    already: bool = False  # `job_id` is an earlier job that does the same and has not ended
    resumed: bool = False  # an earlier submission was stopped, and this one continued its job
    dry_run: bool = False
    samples: list[int] = field(default_factory=list)  # the jobs that colour a sample first, one for each choice
    pace: Pace | None = None  # for a dry run: the pace of an earlier job, if there is one
    # Hours at that pace, by the number of scans and by bytes; the smaller first.
    hours: tuple[float, float] | None = None

    @property
    def to_colour(self) -> int:
        """How many of the scans go to workers."""
        return self.scans - self.archived

    def note_other(self, key: str) -> None:
        """Count a file that is not a scan."""
        self.others += 1
        extension = PurePosixPath(key).suffix.lower()
        if extension in self.extensions or len(self.extensions) < _MOST_EXTENSIONS:
            self.extensions[extension] = self.extensions.get(extension, 0) + 1

    def note_scan(self, key: str) -> None:
        """Count the format of a scan."""
        name = output_format(key, "source")
        self.formats[name] = self.formats.get(name, 0) + 1

    def by_format(self) -> str:
        """The formats of the scans, the most common first: `12 TIFF, 3 JPEG`."""
        most_common = sorted(self.formats.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {FORMAT_NAMES[name]}" for name, count in most_common)

    def passed_over(self) -> list[str]:
        """What was left out and why: one sentence for each reason."""
        sentences = [f"{counted(self.others, 'other file')} passed over{self._by_extension()}"] if self.others else []
        if self.damaged:
            were = "scan was" if self.damaged == 1 else "scans were"
            again = "replace the file, or try again by photochrom retry JOB"
            sentences.append(f"{self.damaged:,} {were} found damaged before, unchanged, and left out ({again})")
        if self.archived_before:
            again = "restore them, then photochrom retry JOB --code archived"
            sentences.append(
                f"{counted(self.archived_before, 'scan')} in cold storage left out that an earlier job recorded as "
                f"archived ({again})"
            )
        if self.leftovers:
            sentences.append(f"{counted(self.leftovers, 'leftover')} of other programs left out")
        if self.unlisted_count:
            more = self.unlisted_count - len(self.unlisted)
            sentences.append(f"not listed: {', '.join(self.unlisted)}{f' and {more} more' if more else ''}")
        return sentences

    def _by_extension(self) -> str:
        most_common = sorted(self.extensions.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_EXTENSIONS]
        parts = [f"{count:,} {extension or 'without an extension'}" for extension, count in most_common]
        return f" ({', '.join(parts)})" if parts else ""

    def progress(self) -> dict[str, Any]:
        """What must be stored, so that a stopped listing can continue.

        A scheduler of an earlier version, which may continue it, knows no other counts, so `formats` is beside them.
        """
        return {"counts": {name: getattr(self, name) for name in _COUNTS}, "formats": dict(self.formats)}

    def restore(self, progress: Mapping[str, Any]) -> None:
        """Take over what `progress` gave. Counts of a later version are passed over."""
        counts = progress.get("counts", {})
        for name in _COUNTS:
            setattr(self, name, counts.get(name, 0))
        self.formats = dict(progress.get("formats", {}))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        if self.already:
            return f"job {self.job_id} does this already; photochrom status {self.job_id}"
        formats = f" ({self.by_format()})" if self.dry_run and self.formats else ""
        counts = (
            f"{counted(self.scans, 'scan')}{formats}, {self.bytes / 1e6:.1f} MB{self._replaced()}{self._left_out()}"
        )
        return (
            f"{self._beginning()} {counts}{self._estimate() if self.dry_run else ''}{self._sample()}{self._troubles()}"
        )

    def _replaced(self) -> str:
        return f", which will replace {counted(self.replaced, 'existing output')}" if self.replaced else ""

    def _left_out(self) -> str:
        parts = (
            (self.present, f"{self.present:,} left out that are done already (--redo-all makes them again)"),
            (self.underway, f"{self.underway:,} left out that another job is to make"),
            (self.accepted, f"{counted(self.accepted, 'accepted output')} left as they are (--overwrite-accepted)"),
        )
        sentences = [sentence for count, sentence in parts if count] + self.passed_over()
        return "".join(f", {sentence}" for sentence in sentences)

    def _sample(self) -> str:
        if not self.samples:
            return ""
        job, numbers = self.job_id, ", ".join(str(number) for number in self.samples)
        jobs = f"job {numbers} colours" if len(self.samples) == 1 else f"jobs {numbers} colour"
        return f"; {jobs} a sample first: photochrom report {job} shows it, photochrom approve {job} colours the rest"

    def _troubles(self) -> str:
        if not self.archived:
            return ""
        job = "JOB" if self.job_id is None else self.job_id
        are = "is" if self.archived == 1 else "are"
        return (
            f"; {self.archived:,} of them {are} in cold storage and can't be coloured yet: restore them, then "
            f"photochrom retry {job} --code archived"
        )

    def _beginning(self) -> str:
        if self.dry_run:
            return "would submit"
        if self.job_id is None:
            return "nothing to do:"
        return f"{'continued a submit that was stopped: ' if self.resumed else ''}job {self.job_id} has"

    def _estimate(self) -> str:
        if self.scans == self.archived:
            return ""
        if self.pace is None or self.hours is None:
            return "; no estimate of the time, since no job has been measured yet"
        fewest, longest = (f"{number:.1f}" for number in self.hours)
        hours = fewest if fewest == longest else f"{fewest} to {longest}"
        pace = f"{self.pace.scans_per_second:.1f} scans/s, {self.pace.bytes_per_second / 1e6:.1f} MB/s"
        return f"; about {hours} hours, estimated from job {self.pace.job_id} ({pace})"
