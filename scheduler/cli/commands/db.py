"""`photochrom db`: the job database's tables."""

import typer

from db.migrations import current_revision
from db.migrations import upgrade as migrate
from db.session import address, make_engine
from worker.settings.settings import load_settings

app = typer.Typer(help="Prepare the job database.", no_args_is_help=True)


@app.callback()
def db() -> None:
    """Prepare the job database."""


@app.command()
def upgrade() -> None:
    """Create the tables, or bring them up to date with this version."""
    engine = make_engine(load_settings().database)
    migrate(engine)
    print(f"{address(engine)} is at revision {current_revision(engine)}")
