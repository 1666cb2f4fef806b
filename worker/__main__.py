"""`python -m worker`, which `photochrom worker` becomes: the supervisor of one worker."""

import sys

from worker.errors import PhotochromError
from worker.logs import configure_logging
from worker.parent import end_with_parent
from worker.settings import load_settings


def main() -> int:
    try:
        settings = load_settings()
        # Celery's app is made of the settings when it is imported, and may refuse them.
        from worker.supervisor import run_worker

        configure_logging(settings.log_level, settings.log_format)
        if settings.parent_pid is not None:
            end_with_parent(settings.parent_pid)
        run_worker(settings)
    except PhotochromError as error:
        print(f"photochrom: {error.message}", file=sys.stderr)
        return error.exit_status
    return 0


sys.exit(main())
