"""Only Celery's own entry point makes the Celery app; importing any other module makes none."""

import subprocess
import sys


def test_importing_the_worker_and_the_scheduler_makes_no_celery_app() -> None:
    code = (
        "import celery\n"
        "def refuse(*_, **__): raise SystemExit('an app was made')\n"
        "celery.Celery.__init__ = refuse\n"
        "import worker.supervision.supervisor, worker.broker.chunk_queue, worker.tasks.child, worker.tasks.chunk_run\n"
        "import scheduler.daemon.loop, scheduler.doctor.services\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
