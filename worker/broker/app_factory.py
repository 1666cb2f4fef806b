"""Makes a Celery app for a broker's URL."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

from worker.errors import UsageError
from worker.settings.settings import Settings

COLORIZE_CHUNK = "photochrom.colorize_chunk"
CONNECT_SECONDS = 4
_SCHEMES = ("redis", "rediss", "amqp", "amqps")


def make_app(settings: Settings, *, answer_seconds: float = 30) -> Celery:
    """A Celery app for these settings. It does not connect yet.

    A broker that does not answer within `answer_seconds` counts as unavailable. Raises UsageError for an unknown URL.
    """
    url = settings.broker_url.get_secret_value()
    scheme = url.partition(":")[0]
    if scheme not in _SCHEMES:
        raise UsageError(
            f"PHOTOCHROM_BROKER_URL begins with {scheme[:20]!r}; expected redis://host:6379/0, rediss://... or amqp://..."
        )
    _check_url(url)
    celery = Celery("photochrom", broker=url, include=["worker.tasks.colorize_chunk"])
    if scheme in ("rediss", "amqps"):
        celery.conf.broker_use_ssl = {"ssl_cert_reqs" if scheme == "rediss" else "cert_reqs": ssl.CERT_REQUIRED}
    celery.conf.update(
        task_default_queue=settings.queue,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A message is acknowledged when its chunk has ended. Each child takes only one message, because a second one
        # would wait in a busy child while others are idle.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=settings.celery_remote_control,
        # Events of chunks, for Flower. The broker does not store them.
        worker_send_task_events=True,
        task_time_limit=settings.hard_time_limit_seconds,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_transport_options=_transport_options(scheme, settings, answer_seconds),
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    return celery


def _check_url(url: str) -> None:
    """Raises UsageError for an URL that kombu would refuse later, when it connects."""
    try:
        parsed = urlsplit(url)
        port, database = parsed.port, parsed.path.strip("/")
    except ValueError:
        port, database = 0, ""
    if port == 0 or (_is_redis(url) and database and not database.isdigit()):
        raise UsageError(
            "PHOTOCHROM_BROKER_URL has a port or a database that is not a number; expected redis://:password@host:6379/0"
        )


def _is_redis(url: str) -> bool:
    return url.startswith(("redis:", "rediss:"))


def _transport_options(scheme: str, settings: Settings, answer_seconds: float) -> dict[str, Any]:
    if scheme not in ("redis", "rediss"):
        return {}
    return {
        "visibility_timeout": settings.visibility_timeout_seconds,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "health_check_interval": 10,
    }
