"""Arguments and options that several commands share."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.submission.request import COLOUR_SCANS
from scheduler.submission.sampling import MOST_SCANS
from worker.errors import UsageError
from worker.inference.colour_options import HEADS, LARGEST_SATURATION
from worker.scans.format_names import COMPRESSIONS, FORMATS

LARGEST = 2**63 - 1  # the database's largest whole number
PRIORITY_RANGE: dict[str, Any] = {
    "min": -1_000_000,
    "max": 1_000_000,
    "help": "Jobs with a higher number are done first.",
}


def choices(*values: str) -> dict[str, Any]:
    """Values that the help shows instead of the type, and that the shell's completion offers."""
    return {"metavar": "|".join(values), "autocompletion": lambda: list(values)}


def row_number(expectation: str) -> Callable[[str], int]:
    """A parser for the number of a row in the database. It raises ValueError with the text `expectation`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LARGEST):
            raise ValueError(expectation)
        return int(text)

    return parse


job_number = row_number("the number of a job, as photochrom status lists them")
JobId = Annotated[int, typer.Argument(metavar="JOB", parser=job_number, help="The job's number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Web = Annotated[
    bool,
    typer.Option("--web", help="Serve the pages too, until Ctrl-C; their address is printed."),
]
Sample = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_SCANS, help="First colour this many scans in several ways, and wait for your choice."),
]
Heads = Annotated[
    str | None, typer.Option(metavar="HEAD,HEAD", help="Heads to try on the sample, such as paper,vivid.")
]
Saturations = Annotated[
    str | None, typer.Option(metavar="N,N", help="Saturations to try on the sample, such as 1.0,1.3.")
]


def known_features(text: str) -> str:
    """Raises UsageError for another value than `none`."""
    if text != "none":
        raise UsageError(f"--features {text}: expected none; leave the option out for the checkpoint's own features")
    return text


Features = Annotated[
    str | None,
    typer.Option(
        parser=known_features,
        **choices("none"),
        help="With none, use exactly the paper's network, which is the bundled checkpoint named first.",
    ),
]
Csv = Annotated[Path | None, typer.Option(help="Write every column to this CSV file.")]

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of scans, or s3://bucket/prefix.")]
Destination = Annotated[
    str, typer.Argument(metavar="DESTINATION", help="A folder or s3://bucket/prefix outside the source.")
]
Format = Annotated[
    str,
    typer.Option(
        help="File format of the outputs. source: the format of the scan; jp2: lossless JPEG 2000.", **choices(*FORMATS)
    ),
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG outputs.")]
Priority = Annotated[int, typer.Option(**PRIORITY_RANGE)]
Manifest = Annotated[
    str | None,
    typer.Option(
        help="Only the scans listed in this file or s3:// object: CSV, JSON, a sha256sum list or an S3 Inventory."
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Take only keys that match, such as 'box 1/*'; may be repeated."),
]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="Leave out keys that match; may be repeated.")
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        metavar="N|N%", help="Stop the job when more scans than this fail: a number or a share, such as 20 or 5%."
    ),
]
Compression = Annotated[str, typer.Option(help="Compression of TIFF outputs.", **choices(*COMPRESSIONS))]
Pyramid = Annotated[bool, typer.Option(help="Write TIFF outputs in tiles, with smaller copies, for image servers.")]
ColourScans = Annotated[
    str, typer.Option(help="What to do with scans that are in colour already.", **choices(*COLOUR_SCANS))
]
Head = Annotated[
    str | None,
    typer.Option(
        help="Part of the model that colours: paper is paler and safer, vivid more colourful. Default: the workers' "
        "setting.",
        **choices(*HEADS),
    ),
]
Embedding = Annotated[
    str | None,
    typer.Option(
        help="Embedding of the checkpoint to use; photochrom models lists them. Default: the workers' setting."
    ),
]
Saturation = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=LARGEST_SATURATION,
        help="Strength of the colours: 0 is grey, 1 is what the model predicts. Default: 1.",
    ),
]
Label = Annotated[str | None, typer.Option(help="Write this text, in small letters, into a corner of each output.")]
Bag = Annotated[
    bool, typer.Option(help="Make the destination a BagIt bag (RFC 8493), with the outputs in its folder data/.")
]


def _output_options(
    *,
    format: Format = "source",
    quality: Quality = 95,
    compression: Compression = "deflate",
    pyramid: Pyramid = False,
    colour_scans: ColourScans = "skip",
    head: Head = None,
    embedding: Embedding = None,
    saturation: Saturation = None,
    label: Label = None,
    bag: Bag = False,
) -> dict[str, Any]:
    """Options for the look of outputs, with the names of scheduler.submission.request.Submission."""
    return dict(locals())


def _selection_options(
    *,
    priority: Priority = 0,
    manifest: Manifest = None,
    include: Include = None,
    exclude: Exclude = None,
    max_failures: MaxFailures = None,
) -> dict[str, Any]:
    """Options that say which scans are colourized and when, with the same names."""
    return {**locals(), "include": tuple(include or ()), "exclude": tuple(exclude or ())}


Command = Callable[..., None]


def with_output_options(command: Command) -> Command:
    """Add the options for the look of outputs to a command. It gets them as its parameter `options`, a dict."""
    return _with_options(command, _output_options)


def with_submission_options(command: Command) -> Command:
    """Add all options of a submission to a command, in the same way."""
    return _with_options(command, _output_options, _selection_options)


def _with_options(command: Command, *groups: Callable[..., dict[str, Any]]) -> Command:
    shared = {group: signature(group, eval_str=True).parameters for group in groups}

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        options: dict[str, Any] = {}
        for group, parameters in shared.items():
            options |= group(**{name: arguments.pop(name) for name in parameters})
        command(options=options, **arguments)

    parameters: list[Parameter] = []
    for name, parameter in signature(command, eval_str=True).parameters.items():
        if name == "options":
            parameters += [option for group in shared.values() for option in group.values()]
        else:
            parameters.append(parameter)
    keyword_only = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    with_options.__dict__["__signature__"] = signature(command).replace(parameters=keyword_only)
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return with_options
