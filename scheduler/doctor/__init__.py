"""`photochrom doctor`: checks everything that a worker or scheduler on this machine needs, and says what to do."""

from collections.abc import Iterator, Sequence

from scheduler.doctor import machine, model, services, stores
from scheduler.doctor.finding import Finding, State, guarded
from worker.extras import BACKENDS, backend_package, extra_of, is_installed
from worker.settings.settings import Settings

__all__ = ["Finding", "State", "exit_status", "look"]


def look(
    settings: Settings,
    *,
    source: str | None,
    destination: str | None,
    with_model: bool,
    prefixes: Sequence[str] | None = None,
) -> Iterator[Finding]:
    """Yields each finding when it is made. prefixes: name only schedules that are within these; None: all.

    Errors of services, files and settings become findings and are not raised.
    """
    yield from guarded("database", lambda: services.database(settings, prefixes=prefixes))
    yield from guarded("broker", lambda: services.broker(settings))
    yield from guarded("source", lambda: stores.source(settings, source))
    yield from guarded("destination", lambda: stores.destination(settings, destination, source))
    yield from guarded("machine", lambda: machine.look(settings))
    yield from guarded("checkpoint", lambda: model.checkpoint(settings))
    if with_model:
        yield from guarded("device", lambda: _device(settings))


def _device(settings: Settings) -> Iterator[Finding]:
    package = backend_package()
    if not is_installed(package):
        remedy = f"install it where a worker is to run: pip install 'photochrom[{extra_of(package)}]'"
        sentence = f"this installation has no {BACKENDS[package]}, so no worker can run here"
        yield Finding("device", State.NOTE, sentence, remedy)
        return
    from scheduler.doctor import device  # needs NumPy, which only workers have

    yield from device.device(settings)


def exit_status(findings: list[Finding]) -> int:
    """0 if nothing is wrong, 1 if something is, 3 if a service can't be reached."""
    if any(finding.unreachable for finding in findings):
        return 3
    return 1 if any(finding.state == State.WRONG for finding in findings) else 0
