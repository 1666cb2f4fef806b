"""`photochrom scans`."""

from typing import Annotated

import typer
from rich.console import Console

from db.models.jobs import ScanState
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.session import read_scope
from scheduler.cli.common import configured_database, print_json_rows
from scheduler.cli.display.job_tables import scans_table
from scheduler.cli.options import Csv, JobId, Json, choices
from scheduler.report import write_csv
from scheduler.rows import scan_row
from scheduler.text import counted
from worker.errors import UsageError

app = typer.Typer()


@app.command()
def scans(
    job: JobId,
    state: Annotated[str | None, typer.Option(help="Only scans in this state.", **choices(*ScanState.ALL))] = None,
    csv: Csv = None,
    json: Json = False,
) -> None:
    """List the scans of a job and the result of each."""
    if state is not None and state not in ScanState.ALL:
        raise UsageError(f"--state {state} is no state of a scan; expected one of {', '.join(ScanState.ALL)}")
    with read_scope(configured_database()) as session:
        lifecycle.get(session, job)
        rows = records.stream(session, job, state=state)
        if csv is not None:
            with csv.open("w", encoding="utf-8", newline="") as file:
                count = write_csv((scan_row(scan) for scan in rows), file)
            print(f"wrote {counted(count, 'scan')} to {csv}")
        elif json:
            print_json_rows(scan_row(scan) for scan in rows)
        else:
            Console().print(scans_table(rows, job), soft_wrap=True)
