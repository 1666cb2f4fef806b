"""Children give way to the model server, which is a process of another session."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.celery_process import NICE, give_way


@pytest.fixture
def session() -> Iterator[int]:
    """The process id of the leader of a session of its own."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_a_process_that_gives_way_has_less_weight_than_this_one(session: int) -> None:
    give_way(session)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, session) == min(19, own + NICE)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="only Linux shares cores out among sessions")
def test_its_whole_session_gives_way(session: int) -> None:
    give_way(session)
    assert Path(f"/proc/{session}/autogroup").read_text().split()[-2:] == ["nice", str(NICE)]


def test_a_process_that_has_ended_is_no_error() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    give_way(ended.pid)
