"""Arguments and options that several commands share."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.submission.request import COLOUR_SCANS
from worker.inference.colour_options import HEADS, LARGEST_SATURATION
from worker.scans.format_names import COMPRESSIONS, FORMATS

LARGEST = 2**63 - 1  # of the database's whole numbers
PRIORITY_RANGE: dict[str, Any] = {
    "min": -1_000_000,
    "max": 1_000_000,
    "help": "Jobs with a higher number are done first.",
}


def choices(*values: str) -> dict[str, Any]:
    """Shown in the help in place of the type, and offered by the shell's completion."""
    return {"metavar": "|".join(values), "autocompletion": lambda: list(values)}


def job_number(text: str) -> int:
    """Raises ValueError, which says what is expected."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LARGEST):
        raise ValueError("the number of a job, as photochrom status lists them")
    return int(text)


JobId = Annotated[int, typer.Argument(metavar="JOB", parser=job_number, help="The job's number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Head = Annotated[
    str | None, typer.Option(help="Head of the network that colours; default: the checkpoint's.", **choices(*HEADS))
]
Embedding = Annotated[str | None, typer.Option(help="One of the checkpoint's embeddings, as photochrom models lists.")]
Saturation = Annotated[
    float | None,
    typer.Option(min=0.0, max=LARGEST_SATURATION, help="Strength of the colours: 1 is the model's own, 0 is grey."),
]
Csv = Annotated[Path | None, typer.Option(help="Write every column to this CSV file.")]

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of scans, or s3://bucket/prefix.")]
Destination = Annotated[
    str, typer.Argument(metavar="DESTINATION", help="A folder or s3://bucket/prefix outside the source.")
]
Format = Annotated[
    str,
    typer.Option(
        help="File format of the outputs; source keeps each scan's own, jp2 is lossless JPEG 2000.", **choices(*FORMATS)
    ),
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG outputs.")]
Priority = Annotated[int, typer.Option(**PRIORITY_RANGE)]
Manifest = Annotated[
    str | None,
    typer.Option(help="Only the scans listed in this file or s3:// object: CSV, JSON lines or an S3 Inventory."),
]
Include = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="Only keys that match, such as 'box 1/*'; may be repeated.")
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="No keys that match; may be repeated.")]
MaxFailures = Annotated[
    str | None,
    typer.Option(metavar="N|N%", help="Stop the job when more scans than this have failed, such as 20 or 5%."),
]
Compression = Annotated[str, typer.Option(help="Compression of TIFF outputs.", **choices(*COMPRESSIONS))]
Pyramid = Annotated[bool, typer.Option(help="Write TIFF outputs in tiles, with smaller copies, for image servers.")]
ColourScans = Annotated[
    str, typer.Option(help="What to do with scans that are in colour already.", **choices(*COLOUR_SCANS))
]
Label = Annotated[str | None, typer.Option(help="Stamp this text, small, into a corner of each output.")]
Bag = Annotated[bool, typer.Option(help="Make the destination a BagIt bag (RFC 8493), with the outputs in its data/.")]


def _submission_options(
    *,
    format: Format = "source",
    quality: Quality = 95,
    priority: Priority = 0,
    manifest: Manifest = None,
    include: Include = None,
    exclude: Exclude = None,
    max_failures: MaxFailures = None,
    compression: Compression = "deflate",
    pyramid: Pyramid = False,
    colour_scans: ColourScans = "skip",
    label: Label = None,
    bag: Bag = False,
    head: Head = None,
    embedding: Embedding = None,
    saturation: Saturation = None,
) -> dict[str, Any]:
    """Which scans are colourized, and how, by the names of scheduler.submission.request.Submission."""
    return {**locals(), "include": tuple(include or ()), "exclude": tuple(exclude or ())}


def with_submission_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with all options of a submission, which it gets as its parameter `options`, a dict."""
    command_parameters, shared = (
        signature(function, eval_str=True).parameters for function in (command, _submission_options)
    )

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        command(options=_submission_options(**{name: arguments.pop(name) for name in shared}), **arguments)

    parameters: list[Parameter] = []
    for name, parameter in command_parameters.items():
        parameters += shared.values() if name == "options" else [parameter]
    keyword_only = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    with_options.__dict__["__signature__"] = signature(command).replace(parameters=keyword_only)
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return with_options
