"""Asks the worker or scheduler on this machine whether it is live, or ready."""

import urllib.error
import urllib.request

from worker.errors import ServiceUnavailable, UsageError
from worker.settings.settings import Settings

_ANSWER_SECONDS = 5
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what is listened on, and what is asked


def ask(settings: Settings, probe: str) -> str:
    """Ask the process whether it is `probe`: live or ready. Returns its answer.

    Raises ServiceUnavailable, with the process' reason, if it is not.
    """
    if settings.metrics_port is None:
        raise UsageError("PHOTOCHROM_METRICS_PORT is not set; expected the port that the worker or scheduler serves")
    host = _EVERY_ADDRESS.get(settings.metrics_address, settings.metrics_address)
    url = f"http://{host}:{settings.metrics_port}/{probe}"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            return str(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        raise ServiceUnavailable(f"the process at {url} is not {probe}: {error.read().decode().strip()}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ServiceUnavailable(f"nothing answers at {url} ({reason}); check PHOTOCHROM_METRICS_PORT") from error
