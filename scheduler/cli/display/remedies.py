"""What to do about the differences that `verify` shows."""

import shlex
from pathlib import Path

from db.models.jobs import Job
from scheduler.integrity.differences import Verified
from scheduler.standalone.folder_run import STATE_FOLDER
from scheduler.submission.request import Submission


def remedies(job: Job, verified: Verified, *, state_folder: Path | None = None) -> list[str]:
    """What a person can do about the differences: one sentence for each kind.

    `state_folder`: the folder of the job database, if `photochrom run` made it.
    """
    differences = {(difference.side, difference.what) for difference in verified.differences}
    again = _command_again(job, state_folder)
    sentences = []
    if ("source", "missing") in differences:
        sentences.append("Put the missing sources back; their outputs can't be made again without them.")
    if ("source", "changed") in differences:
        sentences.append(f"Put changed sources back, or colourize them as they are now: {again}")
    if ("output", "changed") in differences:
        sentences.append(f"Move the changed outputs away, then make them again: {again}")
    elif ("output", "missing") in differences:
        sentences.append(f"Make the missing outputs again: {again}")
    if ("output", "replaced") in differences:
        prefix = "" if job.options.get("output_prefix") else " --output-prefix NAME"
        sentences.append(f"Leave the other source's outputs, and make these in a folder of their own: {again}{prefix}")
    if {("bag", "changed"), ("bag", "missing")} & differences:
        sentences.append(f"When the outputs are as recorded, write the bag's own files again: photochrom bag {job.id}")
    if ("output", "extra") in differences and job.options.get("bag"):
        sentences.append("Move the extra files away: a bag holds no file that its manifest does not name.")
    elif ("output", "extra") in differences:
        sentences.append("Move the extra files away, or leave them: no job made them, and none will replace them.")
    return sentences


def _command_again(job: Job, state_folder: Path | None) -> str:
    """The command that makes what is missing."""
    words = [shlex.quote(job.source), shlex.quote(job.destination), *_options(job)]
    if state_folder is None:
        return " ".join(["photochrom submit", *words])
    if state_folder != Path(job.destination, STATE_FOLDER).resolve():
        words.append(f"--state-folder {shlex.quote(str(state_folder))}")
    return " ".join(["photochrom run", *words])


def _options(job: Job) -> list[str]:
    """The options with which the job was submitted, without those that have their default."""
    usual = Submission("", "").options
    words = []
    for name, value in job.options.items():
        if value != usual.get(name):
            option = "--" + name.replace("_", "-")
            words.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return words
