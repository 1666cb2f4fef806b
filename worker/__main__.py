"""`python -m worker`, which `photochrom worker` runs: the supervisor of one worker."""

import sys

from worker.errors import PhotochromError, unusable
from worker.extras import missing_extra
from worker.observability.logs import configure_logging
from worker.settings.settings import load_settings
from worker.supervision.supervisor import run_worker
from worker.system.parent_watch import end_with_parent


def main() -> int:
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        if settings.parent_pid is not None:
            end_with_parent(settings.parent_pid)
        run_worker(settings)
    except PhotochromError as error:
        return _refuse(error)
    except OSError as error:
        if error.filename is None:
            raise  # not an error about a person's file, so the traceback is shown
        return _refuse(unusable(error))
    except ModuleNotFoundError as error:
        if (refusal := missing_extra(error)) is None:
            raise
        return _refuse(refusal)
    return 0


def _refuse(error: PhotochromError) -> int:
    print(f"photochrom: {error.message}", file=sys.stderr)
    return error.exit_status


sys.exit(main())
