"""`photochrom notices`: the notices that tell people what happened."""

import typer

from db.clock import utc_now
from scheduler.notices.receivers import receivers
from worker.errors import ServiceUnavailable, UsageError
from worker.settings.settings import load_settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def notices() -> None:
    """Manage the notices that tell people what happened."""


@app.command()
def test() -> None:
    """Send a test to every receiver that PHOTOCHROM_NOTICES names."""
    settings = load_settings()
    named = receivers(settings)
    if not named:
        raise UsageError("PHOTOCHROM_NOTICES names no receiver; set it to addresses, with spaces between")
    now, failed = utc_now(), []
    content = {"kind": "test", "title": "Photochrom: a test", "text": "Notices arrive here.", "link": settings.web_url}
    for receiver in named:
        try:
            receiver.send(f"test/{now.isoformat()}", now, content)
            print(f"{receiver.shown}: received")
        except ServiceUnavailable as error:
            failed.append(receiver)
            print(f"{receiver.shown}: {error.message}")
    if failed:
        raise ServiceUnavailable(f"{len(failed)} of {len(named)} receivers did not accept the test")
