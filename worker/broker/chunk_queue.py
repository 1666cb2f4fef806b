"""The broker for the scheduler: publishes the ids and attempts of chunks, and counts the waiting messages.

A message only tells a worker that there is a chunk. If one is lost or comes twice, this costs time and never a scan.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError
from kombu.utils.url import maybe_sanitize_url

from db.queries.chunks.claims import ChunkMessage
from worker.broker.app_factory import COLORIZE_CHUNK, CONNECT_SECONDS
from worker.errors import ServiceUnavailable


class ChunkQueue:
    """Every method raises ServiceUnavailable, with the broker's address and without its password."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._queue = str(app.conf.task_default_queue)

    def publish(self, messages: Sequence[ChunkMessage]) -> None:
        """Send all messages over one connection, because opening a connection takes ten times as long as sending a
        message.
        """
        if not messages:
            return
        with self._broker() as connection, self._app.amqp.Producer(connection, auto_declare=False) as producer:
            for message in messages:
                self._app.send_task(
                    COLORIZE_CHUNK,
                    args=[message.chunk_id, message.attempt],
                    queue=self._queue,
                    producer=producer,
                    retry=False,
                )

    def depth(self) -> int:
        """The number of messages that no worker has taken yet. Declares the queue if the broker has lost it."""
        with self._broker() as connection:
            declared = connection.default_channel.queue_declare(queue=self._queue, durable=True, auto_delete=False)
            return int(declared.message_count)

    @contextmanager
    def _broker(self) -> Iterator[Connection]:
        with self._app.connection_for_write() as connection:
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
                yield connection
            except (*connection.connection_errors, *connection.channel_errors, KombuError, OSError) as error:
                address = maybe_sanitize_url(self._app.conf.broker_url)
                reason = " ".join(str(error).split())[:200]
                raise ServiceUnavailable(
                    f"the broker {address} can't be reached ({reason}); "
                    "check PHOTOCHROM_BROKER_URL and that the server runs"
                ) from error
