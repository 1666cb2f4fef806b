"""The processes of a running system, and its database's schema."""

from __future__ import annotations

import typer

db_commands = typer.Typer(help="The job database's schema.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Processes")(worker)
    app.command(rich_help_panel="Processes")(scheduler)
    app.add_typer(db_commands, name="db", rich_help_panel="Processes")


def worker() -> None:
    """Run a worker: a model server and its children. Start as many as there are machines; stop any at any time."""
    import os
    import sys

    # The worker is a package of its own, which the scheduler's never loads: this process becomes it.
    try:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "worker"])
    except OSError as error:
        raise OSError(error.errno, error.strerror, sys.executable) from error  # execv doesn't name it


def scheduler() -> None:
    """Run the scheduler: dispatches chunks, takes back leases, completes jobs. One is enough, two are safe."""
    from scheduler.cli import common
    from scheduler.daemon.loop import run_scheduler
    from worker.observability.logs import configure_logging
    from worker.system.parent_watch import end_with_parent

    settings = common.settings()
    configure_logging(settings.log_level, settings.log_format)
    if settings.parent_pid is not None:
        end_with_parent(settings.parent_pid)
    run_scheduler(settings)


@db_commands.command()
def upgrade() -> None:
    """Create the tables, or bring them to this version's shape."""
    from db.migrations import current_revision
    from db.migrations import upgrade as migrate
    from db.session import address, make_engine
    from scheduler.cli import common

    engine = make_engine(common.settings().database)
    migrate(engine)
    print(f"{address(engine)} is at revision {current_revision(engine)}")
