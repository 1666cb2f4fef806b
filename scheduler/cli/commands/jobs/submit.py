"""`photochrom submit`."""

from typing import Annotated, Any

import typer

from scheduler.actions import submissions
from scheduler.actions.actor import local_actor
from scheduler.cli import options as shared
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.job_tables import listing
from scheduler.submission.checkpoints import check_colours
from scheduler.submission.request import OVERWRITE, Submission
from scheduler.submission.sampling import parse_sample
from worker.settings.settings import load_settings

app = typer.Typer()


@app.command()
@shared.with_submission_options
def submit(
    source: shared.Source,
    destination: shared.Destination,
    options: dict[str, Any],
    name: Annotated[str | None, typer.Option(help="A name for the job.")] = None,
    overwrite: Annotated[
        str, typer.Option(help="Which existing outputs to make again.", **shared.choices(*OVERWRITE))
    ] = "changed",
    redo_all: Annotated[
        bool, typer.Option("--redo-all", help="Make all outputs again, but for accepted ones: --overwrite always.")
    ] = False,
    overwrite_accepted: Annotated[
        bool, typer.Option("--overwrite-accepted", help="Make accepted outputs again, too.")
    ] = False,
    output_prefix: Annotated[
        str | None,
        typer.Option(help="A folder in DESTINATION for these outputs, where another job has the same names."),
    ] = None,
    missing_only: Annotated[bool, typer.Option("--missing-only", hidden=True, help="The default by now.")] = False,
    sample: shared.Sample = None,
    heads: shared.Heads = None,
    saturations: shared.Saturations = None,
    dry_run: Annotated[bool, typer.Option(help="Submit nothing: list, count and estimate the time.")] = False,
    json: shared.Json = False,
) -> None:
    """Submit a job: colourize every scan in SOURCE into DESTINATION."""
    settings = load_settings()
    what = {
        "name": name,
        "missing_only": missing_only,
        "overwrite": "always" if redo_all else overwrite,
        "overwrite_accepted": overwrite_accepted,
        "output_prefix": output_prefix,
        **options,
    }
    request = Submission(source, destination, sample=parse_sample(sample, heads, saturations), **what)
    check_colours(settings, head=request.head, embedding=request.embedding)
    with listing(quiet=json) as progress:
        engine = open_database(settings)
        submitted = submissions.submit(engine, settings, request, local_actor(), dry_run=dry_run, progress=progress)
    if json:
        print_json(submitted.as_dict())
    else:
        print(submitted.sentence())
