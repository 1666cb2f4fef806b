"""`photochrom db`: the job database's tables."""

from typing import Annotated

import typer

from db.migrations import current_revision
from db.migrations import upgrade as migrate
from db.session import address, make_engine
from worker.errors import UsageError
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


@app.command(hidden=True, context_settings={"ignore_unknown_options": True})
def downgrade(
    _revisions: Annotated[list[str] | None, typer.Argument(metavar="[REVISION]", help="Not used.")] = None,
) -> None:
    """Not possible: to go back to an older version, restore a backup."""
    raise UsageError(
        "there is no downgrade, because an older version can't keep what a newer one has written; to go back, stop "
        "every process, restore the dump that you made before the upgrade, and install the older version: "
        "docs/backup.md"
    )
