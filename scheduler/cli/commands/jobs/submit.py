"""`photochrom submit`."""

from typing import Annotated, Any

import typer

from scheduler.access.actor import local_actor
from scheduler.actions import submissions
from scheduler.cli import options as shared
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.job_tables import listing
from scheduler.submission.request import OVERWRITE, Submission
from scheduler.submission.sampling import parse_sample
from worker.settings.settings import load_settings

Name = Annotated[str | None, typer.Option(help="A name for the job.")]
Overwrite = Annotated[
    str,
    typer.Option(
        help="Which existing outputs to make again. never: none; new: those whose scan changed; changed: those whose "
        "scan or options changed; always: all but accepted ones.",
        **shared.choices(*OVERWRITE),
    ),
]
RedoAll = Annotated[bool, typer.Option("--redo-all", help="The same as --overwrite always.")]
OverwriteAccepted = Annotated[bool, typer.Option("--overwrite-accepted", help="Also make accepted outputs again.")]
OutputPrefix = Annotated[
    str | None,
    typer.Option(help="Write the outputs into this folder of DESTINATION, if another job uses the same names."),
]
MissingOnly = Annotated[
    bool, typer.Option("--missing-only", hidden=True, help="Has no effect: outputs that exist are left out anyway.")
]
DryRun = Annotated[
    bool, typer.Option(help="Submit nothing; only say how many scans there are and how long they would take.")
]

app = typer.Typer()


@app.command()
@shared.with_submission_options
def submit(
    source: shared.Source,
    destination: shared.Destination,
    options: dict[str, Any],
    name: Name = None,
    overwrite: Overwrite = "changed",
    redo_all: RedoAll = False,
    overwrite_accepted: OverwriteAccepted = False,
    output_prefix: OutputPrefix = None,
    missing_only: MissingOnly = False,
    sample: shared.Sample = None,
    heads: shared.Heads = None,
    saturations: shared.Saturations = None,
    dry_run: DryRun = False,
    json: shared.Json = False,
) -> None:
    """Submit a job: colourize every scan in SOURCE into DESTINATION."""
    settings = load_settings()
    request = Submission(
        source,
        destination,
        name=name,
        missing_only=missing_only,
        overwrite="always" if redo_all else overwrite,
        overwrite_accepted=overwrite_accepted,
        output_prefix=output_prefix,
        sample=parse_sample(sample, heads, saturations),
        **options,
    )
    with listing(quiet=json) as progress:
        engine = open_database(settings)
        submitted = submissions.submit(engine, settings, request, local_actor(), dry_run=dry_run, progress=progress)
    if json:
        print_json(submitted.as_dict())
    else:
        print(submitted.sentence())
