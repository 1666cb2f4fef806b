"""The model server's client in a child: predict(lightness) -> a, b."""

import contextlib
import os
import threading
import time

import numpy as np
from numpy.typing import NDArray

from worker.errors import ScanError, ServiceUnavailable
from worker.inference.colour_options import ColourOptions
from worker.inference.connection import Prediction, ServerConnection, ServerInfo, ServerLost, connect
from worker.inference.models.interface import model_failed
from worker.inference.protocol import Message, ProtocolError, Receiver, send
from worker.system.wait import try_before

__all__ = ["Prediction", "PredictionClient", "ServerInfo", "hello", "stats"]

_SHAPE = (400, 400)
_NO_CHOICE = ColourOptions()
_HANDSHAKE_SECONDS = 10.0


class PredictionClient:
    """Predictions for one child, from any of its threads. It connects at the first prediction.

    slots: how many scans can be at the server at the same time; further callers wait for a free slot. timeout_seconds:
    how long one scan may wait, including restarts of the server. predict_attempts: a scan fails when this many servers
    have died while it was on their device.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        *,
        slots: int,
        timeout_seconds: float,
        predict_attempts: int = 3,
    ) -> None:
        self._socket_path, self._slots = socket_path, slots
        self._timeout_seconds, self._predict_attempts = timeout_seconds, predict_attempts
        self._connecting = threading.Lock()
        self._connection: ServerConnection | None = None
        self._closed = False
        self._pid = os.getpid()

    def predict(self, lightness: NDArray[np.float32], options: ColourOptions = _NO_CHOICE) -> Prediction:
        """Predict a scan's colours from its lightness, (400, 400) float32, 0..100, with the head and the embedding in
        `options`.

        The saturation is not applied here; the composer of the output multiplies a and b by it.

        Raises ScanError `model_failed` if the model can't colour this scan; `model_unavailable`, not permanent, if no
        server answered within `timeout_seconds`; `worker_killed` if too many servers died with this scan on their
        device.
        """
        self._check(lightness)
        began = time.monotonic()
        deadline = began + self._timeout_seconds
        deaths = 0
        while not self._closed:
            try:
                connection = self._connected(deadline)
                # A scan that may have crashed a server goes alone, so that the next crash counts for this scan only.
                return connection.predict(lightness, options, alone=deaths > 0, began=began, deadline=deadline)
            except ServerLost as lost:
                deaths += lost.running
                if deaths >= self._predict_attempts:
                    raise _killer(deaths) from None
            except (OSError, ProtocolError):
                if not self._closed:
                    raise self._timed_out() from None
        raise _unavailable("the client is closed")

    def close(self) -> None:
        """End the connection. Unfinished predictions raise `model_unavailable`."""
        self._closed = True
        with self._connecting:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()

    def _check(self, lightness: NDArray[np.float32]) -> None:
        if self._pid != os.getpid():
            # Two processes would read each other's replies.
            raise RuntimeError("this client was made before a fork; make one in each child")
        if lightness.shape != _SHAPE or lightness.dtype != np.float32:
            raise ValueError(f"lightness is {lightness.dtype} {lightness.shape}; expected float32 {_SHAPE}")
        if not np.isfinite(lightness).all():
            raise model_failed("its lightness holds a value that is not finite", permanent=True)

    def _connected(self, deadline: float) -> ServerConnection:
        """Wait for a server. Raises OSError or ProtocolError if none answers before `deadline`."""
        return try_before(
            deadline, lambda: self._connect(deadline), (OSError, ProtocolError), stopped=lambda: self._closed
        )

    def _connect(self, deadline: float) -> ServerConnection:
        with self._connecting:
            if self._connection is None or self._connection.lost:
                seconds = min(_HANDSHAKE_SECONDS, max(0.01, deadline - time.monotonic()))
                self._connection = None
                self._connection = ServerConnection(self._socket_path, self._slots, seconds)
            return self._connection

    def _timed_out(self) -> ScanError:
        return _unavailable(f"no answer from {self._socket_path} within {self._timeout_seconds:g} s")


def hello(socket_path: str | os.PathLike[str], timeout_seconds: float) -> ServerInfo:
    """Information about the server at `socket_path`. Raises ServiceUnavailable."""
    return ServerInfo.of(_ask(socket_path, "hello", timeout_seconds))


def stats(socket_path: str | os.PathLike[str], timeout_seconds: float) -> dict[str, float]:
    """The server's counters, with the names in `batching.Stats`. Raises ServiceUnavailable."""
    return {name: float(value) for name, value in _ask(socket_path, "stats", timeout_seconds).items()}


def _ask(socket_path: str | os.PathLike[str], command: str, timeout_seconds: float) -> Message:
    try:
        with contextlib.closing(connect(socket_path, timeout_seconds)) as connection:
            send(connection, {"do": command})
            reply = Receiver(connection).receive()
    except (OSError, ProtocolError) as error:
        raise ServiceUnavailable(f"no model server answers at {os.fspath(socket_path)}: {error}") from error
    if reply is None:
        raise ServiceUnavailable(f"the model server at {os.fspath(socket_path)} closed the connection")
    return reply


def _killer(deaths: int) -> ScanError:
    sentence = f"{deaths} model servers died with this scan on their device, the last two with no other"
    return ScanError("worker_killed", f"{sentence}; look at the scan, then: photochrom retry", permanent=True)


def _unavailable(reason: str) -> ScanError:
    return ScanError("model_unavailable", f"the model server is not available: {reason}", permanent=False)
