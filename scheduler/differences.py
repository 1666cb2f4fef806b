"""What `photochrom verify` found, in words, and what a person can do about it."""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from db.models.jobs import Job
from scheduler.folder_run import STATE_FOLDER
from scheduler.submission import Submission
from scheduler.text import counted


@dataclass(frozen=True, slots=True)
class Difference:
    """`side` is source, output or bag (its own files); `what` is changed, missing, extra or unreadable."""

    side: str
    what: str
    key: str
    detail: str = ""


@dataclass(slots=True)
class Verified:
    """What was read, and all that was not as the rows say. `remade`: outputs that are a later job's, and not read."""

    sources: int = 0
    outputs: int = 0
    bytes: int = 0
    remade: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "Verified") -> None:
        self.sources += other.sources
        self.outputs += other.outputs
        self.bytes += other.bytes
        self.differences += other.differences

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        read = f"{counted(self.sources, 'source')} and {counted(self.outputs, 'output')} read again"
        read += f", {self.bytes / 1e6:.1f} MB"
        if self.remade:
            read += f" ({self.remade:,} more made anew by a later job: verify that one)"
        if not self.differences:
            return f"{read}: each is as recorded, and nothing else is there"
        counts = ", ".join(
            f"{sum(difference.what == what for difference in self.differences)} {what}"
            for what in ("changed", "missing", "extra", "unreadable")
            if any(difference.what == what for difference in self.differences)
        )
        return f"{read}: {counts}"


def remedies(job: Job, verified: Verified, *, state_folder: Path | None = None) -> list[str]:
    """What a person can do about the differences, a sentence each; `state_folder` is that of a `photochrom run`."""
    found = {(difference.side, difference.what) for difference in verified.differences}
    again = _command_again(job, state_folder)
    said = []
    if ("source", "missing") in found:
        said.append("Put the missing sources back; their outputs can't be made again without them.")
    if ("source", "changed") in found:
        said.append(f"Put changed sources back, or colourize them as they are now: {again}")
    if ("output", "changed") in found:
        said.append(f"Move the changed outputs away, then make them again: {again}")
    elif ("output", "missing") in found:
        said.append(f"Make the missing outputs again: {again}")
    if {("bag", "changed"), ("bag", "missing")} & found:
        said.append(f"Once the outputs are as recorded, write the bag's own files anew: photochrom bag {job.id}")
    if ("output", "extra") in found and job.options.get("bag"):
        said.append("Move the extra files away: a bag holds no file that its manifest does not name.")
    elif ("output", "extra") in found:
        said.append("Move the extra files away, or leave them: no job made them, and none will replace them.")
    return said


def _command_again(job: Job, state_folder: Path | None) -> str:
    """The command that does what is missing of the job."""
    words = [shlex.quote(job.source), shlex.quote(job.destination), *_options(job)]
    if state_folder is None:
        return " ".join(["photochrom submit", *words, "--missing-only"])
    if state_folder != Path(job.destination, STATE_FOLDER).resolve():
        words.append(f"--state-folder {shlex.quote(str(state_folder))}")
    return " ".join(["photochrom run", *words])


def _options(job: Job) -> list[str]:
    """The options of the submit that made the job, as far as they are not the usual ones."""
    usual = Submission("", "").options
    words = []
    for name, value in job.options.items():
        if value != usual.get(name):
            option = "--" + name.replace("_", "-")
            words.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return words
