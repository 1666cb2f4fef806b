"""The options of submit, which other commands share."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

JobId = Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Source = Annotated[str, typer.Argument(help="s3://bucket/prefix or a folder.")]
Destination = Annotated[str, typer.Argument(help="s3://bucket/prefix or a folder, apart from the source.")]
Format = Annotated[str, typer.Option(help="Of the outputs: source, jpeg, png, tiff or jp2 (JPEG 2000 without loss).")]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG outputs.")]
Priority = Annotated[int, typer.Option(help="Higher goes first.")]
Manifest = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Only scans that this file or s3:// object lists: CSV, JSON lines or S3 Inventory."),
]
Include = Annotated[Optional[list[str]], typer.Option(help="Only keys like this; may be repeated.")]  # noqa: UP045
Exclude = Annotated[Optional[list[str]], typer.Option(help="No keys like this; may be repeated.")]  # noqa: UP045
MaxFailures = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Stop the job when more scans than this, N or N%, have failed."),
]
Compression = Annotated[str, typer.Option(help="Of TIFF outputs: deflate, lzw or none.")]
Pyramid = Annotated[bool, typer.Option(help="TIFF outputs in tiles, with smaller copies.")]
ColourScans = Annotated[str, typer.Option(help="Already in colour: skip or colourize.")]
Label = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Stamp this text, small, into a corner of each output."),
]
Bag = Annotated[bool, typer.Option(help="Make the destination a BagIt bag (RFC 8493), outputs in its data/.")]
Csv = Annotated[Optional[Path], typer.Option(help="Write every column to this CSV file.")]  # noqa: UP045


def _of_a_submission(
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
) -> dict[str, Any]:
    """What is coloured, and how, by the names of scheduler.submission.submitter.Submission."""
    return {
        "format": format,
        "quality": quality,
        "priority": priority,
        "manifest": manifest,
        "include": tuple(include or ()),
        "exclude": tuple(exclude or ()),
        "max_failures": max_failures,
        "compression": compression,
        "pyramid": pyramid,
        "colour_scans": colour_scans,
        "label": label,
        "bag": bag,
    }


def of_a_submission(command: Callable[..., None]) -> Callable[..., None]:
    """The command with all of a submission's options, which it gets as its parameter `chosen`."""
    own, shared = (signature(each, eval_str=True).parameters for each in (command, _of_a_submission))

    @wraps(command)
    def with_options(**given: Any) -> None:
        command(chosen=_of_a_submission(**{name: given.pop(name) for name in shared}), **given)

    parameters: list[Parameter] = []
    for name, parameter in own.items():
        parameters += shared.values() if name == "chosen" else [parameter]
    by_name = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    with_options.__dict__["__signature__"] = signature(command).replace(parameters=by_name)
    with_options.__annotations__ = {each.name: each.annotation for each in by_name}
    return with_options
