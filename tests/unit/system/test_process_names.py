"""A process that has ended is not running, even if its parent has not waited for it yet."""

import os
import signal
import subprocess
import sys

from tests.waiting import wait_until
from worker.system.process_names import group_lives, lives


def test_a_process_that_has_ended_is_not_running_even_before_it_is_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not lives(f"worker/{process.pid}")
    assert not group_lives(process.pid)
    process.wait()
    assert not group_lives(process.pid)


def test_a_process_group_is_running_while_one_of_its_processes_is() -> None:
    script = "import subprocess; subprocess.Popen(['sleep', '60']); print(flush=True)"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    process.wait()
    assert group_lives(process.pid)

    os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not group_lives(process.pid))  # a killed process takes a moment to end
