"""Celery's children have ended before the worker hands their chunks to other workers."""

import os
import sys
import time
from pathlib import Path

from worker.supervision.celery_process import CeleryProcess
from worker.system.process_names import group_lives

# A parent that ends at SIGTERM, and leaves a child behind that ignores SIGTERM.
_LEAVES_A_CHILD = """
import subprocess, sys, time
child = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w').close()"
subprocess.Popen([sys.executable, "-c", child + "; time.sleep(60)", sys.argv[1]])
time.sleep(60)
"""


def test_a_child_that_outlives_celery_is_gone_when_it_has_stopped(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    process = CeleryProcess("worker", queue="queue", children=1, log_level="INFO")
    process._command = [sys.executable, "-c", _LEAVES_A_CHILD, str(ready)]
    process.start({})
    ready.read_bytes()  # until the child is there
    group = process.pid
    assert group is not None

    process.stop(time.monotonic() + 8, lambda: None)

    assert not group_lives(group)
