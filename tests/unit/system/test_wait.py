import time

import pytest

from worker.system.wait import try_before


class Server:
    """Answers after so many calls that fail."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    def ask(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionRefusedError
        return "answer"


def test_a_call_is_repeated_until_the_server_answers() -> None:
    server = Server(failures=3)

    assert try_before(time.monotonic() + 60, server.ask, (OSError,), stopped=lambda: False) == "answer"
    assert server.calls == 4


def test_after_the_deadline_the_error_is_raised() -> None:
    server = Server(failures=1)

    with pytest.raises(ConnectionRefusedError):
        try_before(time.monotonic(), server.ask, (OSError,), stopped=lambda: False)
    assert server.calls == 1


def test_no_call_is_repeated_once_it_is_to_stop() -> None:
    server = Server(failures=1)

    with pytest.raises(ConnectionRefusedError):
        try_before(time.monotonic() + 60, server.ask, (OSError,), stopped=lambda: True)


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        try_before(time.monotonic() + 60, lambda: 1 / 0, (OSError,), stopped=lambda: False)
