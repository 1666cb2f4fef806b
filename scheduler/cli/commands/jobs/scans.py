"""`photochrom scans`: the scans of a job, or one scan over all jobs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Engine

from db.errors import NotFound
from db.models.archives import ArchivedScan
from db.models.jobs import Job, Scan, ScanState
from db.queries.archives import archived_scans
from db.queries.archives import progress as archives
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.queries.scans.history import history
from db.session import read_scope
from scheduler.cli.common import configured_database, print_json, print_json_rows
from scheduler.cli.display.job_tables import history_table, scans_table
from scheduler.cli.options import Csv, Json, choices, job_number
from scheduler.export.csv_file import write_csv
from scheduler.rows import history_row, scan_row
from scheduler.text import counted
from worker.errors import UsageError

app = typer.Typer()


@app.command()
def scans(
    job: Annotated[
        int | None, typer.Argument(metavar="[JOB]", parser=job_number, help="The job's number. Not needed with --key.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only scans in this state.", **choices(*ScanState.ALL))] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Show one scan in all jobs. Give the key or path of the scan or of its output."),
    ] = None,
    csv: Csv = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a Parquet file, for DuckDB or pandas.")
    ] = None,
    json: Json = False,
) -> None:
    """List the scans of a job with their results, or one scan in all jobs."""
    if state is not None and state not in ScanState.ALL:
        raise UsageError(f"--state {state} is not a state of a scan; expected one of {', '.join(ScanState.ALL)}")
    if key is not None and (state or csv or parquet):
        raise UsageError("--key shows one scan whole; expected no --state, --csv or --parquet with it")
    if key is not None:
        _show_history(configured_database(), key, job, json=json)
    elif job is not None and parquet is not None:
        _write_parquet(configured_database(), job, state, parquet)
    elif job is not None:
        _show_scans(configured_database(), job, state, csv, json=json)
    else:
        raise UsageError("expected a job's number, or --key for what happened to one scan in all jobs")


def _show_history(engine: Engine, key: str, job: int | None, *, json: bool) -> None:
    with read_scope(engine) as session:
        # The archived scans are read last, so that a scan that is archived meanwhile is in one of the two.
        rows: list[tuple[Scan | ArchivedScan, Job]] = [*history(session, key, job_id=job)]
        rows += archived_scans.history(session, key, job_id=job)
    rows.sort(key=lambda row: row[1].id)
    if not rows:
        where = "any job" if job is None else f"job {job}"
        raise NotFound(
            f"{key!r} is not a scan or output of {where}; expected a key as photochrom scans shows it, or a path"
        )
    if json:
        print_json([history_row(scan, of_job) for scan, of_job in rows])
    else:
        Console().print(history_table(rows), soft_wrap=True)


def _write_parquet(engine: Engine, job: int, state: str | None, path: Path) -> None:
    from scheduler.export.parquet_file import write_parquet  # pyarrow comes with an extra

    with read_scope(engine) as session:
        row = lifecycle.get(session, job)
        archives.expect_rows(session, job)
    count = write_parquet(records.stream(engine, job, state=state), path, row)
    print(f"wrote {counted(count, 'scan')} to {path}")


def _show_scans(engine: Engine, job: int, state: str | None, csv: Path | None, *, json: bool) -> None:
    with read_scope(engine) as session:
        lifecycle.get(session, job)
        archives.expect_rows(session, job)
    rows = records.stream(engine, job, state=state)
    if csv is not None:
        with csv.open("w", encoding="utf-8", newline="") as file:
            count = write_csv((scan_row(scan) for scan in rows), file)
        print(f"wrote {counted(count, 'scan')} to {csv}")
    elif json:
        print_json_rows(scan_row(scan) for scan in rows)
    else:
        Console().print(scans_table(rows, job), soft_wrap=True)
