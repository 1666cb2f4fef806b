"""`photochrom web`: the pages for a browser, and the HTTP API."""

import typer

from worker.errors import UsageError
from worker.observability.logs import configure_logging
from worker.settings.settings import load_settings
from worker.system.parent_watch import end_with_parent

app = typer.Typer()


@app.command()
def web() -> None:
    """Serve the pages for a browser, and the HTTP API.

    It prints its address. Without accounts, it serves only this machine; photochrom users add makes an account.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if settings.parent_pid is not None:
        end_with_parent(settings.parent_pid)
    try:
        # Imported here, because its libraries come with an extra.
        from scheduler.web.server import run_web
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; install Photochrom with pip install 'photochrom[web]'"
        ) from None
    run_web(settings, announce=lambda address: print(f"photochrom web: {address}", flush=True))
