"""The Celery app for Celery's own tools: `celery --app photochrom.celery_app flower`."""

from photochrom import use_code

use_code()

from worker.tasks.app import app  # noqa: E402  on the path only from here on

__all__ = ["app"]
