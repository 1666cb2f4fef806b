"""`photochrom worker` and `photochrom scheduler`, which run until they are told to end."""

import os
import sys

import typer

from scheduler.daemon.loop import run_scheduler
from worker.extras import backend_package, expect_installed
from worker.observability.logs import configure_logging
from worker.settings.settings import load_settings
from worker.system.parent_watch import end_with_parent

app = typer.Typer()


@app.command()
def worker() -> None:
    """Run a worker, which colourizes scans. Start one on each machine.

    A worker can be started, stopped or killed at any time. No scan is lost: another worker continues.
    """
    expect_installed(backend_package())
    # The package scheduler never loads the package worker's main module, so this process is replaced by a worker.
    try:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "worker"])
    except OSError as error:
        raise OSError(error.errno, error.strerror, sys.executable) from error  # execv doesn't name it


@app.command()
def scheduler() -> None:
    """Run the scheduler, which hands out work. One is enough, two are safe.

    It also takes work back from workers that died, completes jobs, writes their reports and starts nightly jobs.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if settings.parent_pid is not None:
        end_with_parent(settings.parent_pid)
    run_scheduler(settings)
