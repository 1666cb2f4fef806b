"""A part of the bench in a separate process, which answers one line at a time: see worker.bench."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from worker.errors import ServiceUnavailable

_STOP_SECONDS = 5.0


class Probe:
    """Runs `python -m MODULE`, as a context manager. `environment` is added to this process' own."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it was killed
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def has_answered(self) -> bool:
        """Whether `answer` would return at once."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send a command and return its answer. Raises ServiceUnavailable with the process' error."""
        self.begin(do, **arguments)
        return self.answer()

    def begin(self, do: str, **arguments: Any) -> None:
        """Send a command without waiting for the answer, so that several probes can work at the same time."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise ServiceUnavailable(f"{self._module}: {answer['error']}")
        return answer

    def _ended(self) -> ServiceUnavailable:
        return ServiceUnavailable(f"{self._module} ended; run it by hand to see why: python -m {self._module}")
