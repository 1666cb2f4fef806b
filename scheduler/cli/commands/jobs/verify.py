"""`photochrom verify`."""

import typer

from db.queries.jobs import lifecycle
from db.session import read_scope
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.columns import printable
from scheduler.cli.display.remedies import remedies
from scheduler.cli.options import JobId, Json
from scheduler.integrity.verify import Verifier
from scheduler.standalone.folder_run import state_folder_of
from worker.settings.settings import load_settings

app = typer.Typer()


@app.command()
def verify(job: JobId, json: Json = False) -> None:
    """Check that a job's sources and outputs are still as recorded.

    It reads every file again, lists the files that are changed, missing or extra, and says what to do about each.
    """
    settings = load_settings()
    engine = open_database(settings)
    verified = Verifier(engine, s3=settings.s3_options).verify(job)
    if json:
        print_json(verified.as_dict())
    else:
        for difference in verified.differences:
            line = f"{difference.what} {difference.side}: {difference.key} {difference.detail}"
            print(printable(line.rstrip()))
        print(verified.sentence())
        with read_scope(engine) as session:
            sentences = remedies(lifecycle.get(session, job), verified, state_folder=state_folder_of(engine))
        for sentence in sentences:
            print(printable(sentence))
    raise typer.Exit(1 if verified.differences else 0)
