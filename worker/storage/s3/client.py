"""The S3 client: timeouts, attempts, checksums."""

import queue
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import boto3
import botocore.loaders
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from worker.errors import ServiceUnavailable, UsageError
from worker.storage.base import S3Options
from worker.storage.locations import without_secrets

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONNECT_SECONDS = 10.0  # the longest wait for a connection; the wait for an answer is a setting
CHECK_SECONDS = 9.5


def make_client(options: S3Options) -> "S3Client":
    """A client with its own session, because boto3's default session is not safe between threads.

    Raises UsageError for an invalid endpoint, AWS profile or region.
    """
    config = Config(
        connect_timeout=min(CONNECT_SECONDS, options.timeout_seconds),
        read_timeout=options.timeout_seconds,
        max_pool_connections=options.connections,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        # Buckets in host names would need DNS entries, which one's own server seldom has.
        s3={"addressing_style": "path" if options.endpoint_url else "auto"},
        request_checksum_calculation="when_required",
        signature_version=UNSIGNED if options.unsigned else None,
    )
    try:
        session = _session()
        # One's own server accepts any region, but boto3 needs one for signing.
        region = session.region_name or ("us-east-1" if options.endpoint_url else None)
        client: S3Client = session.client("s3", endpoint_url=options.endpoint_url, region_name=region, config=config)
        return client
    except (BotoCoreError, ValueError) as error:
        where = f" for the endpoint {without_secrets(options.endpoint_url)!r}" if options.endpoint_url else ""
        # boto3's own message contains the endpoint, with any password in it.
        reason = type(error).__name__ if isinstance(error, ValueError) else str(error)
        raise UsageError(
            f"S3 can't be used{where} ({reason}); check PHOTOCHROM_S3_ENDPOINT_URL (http://... or https://...) "
            "and the AWS_* variables"
        ) from None


def _session() -> boto3.session.Session:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=session)


@cache
def _loader() -> botocore.loaders.Loader:
    # Without this, a client takes 90 ms; nine tenths of it are for reading boto3's description of S3.
    return botocore.loaders.Loader()


def within(seconds: float, call: Callable[[], None], late: ServiceUnavailable) -> None:
    """Run `call`, but raise `late` if it takes longer than `seconds`.

    Socket timeouts alone do not limit the time: each address of a host name has its own timeout, and looking up a name
    has none.
    """
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: ended.put(_outcome(call)), daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except queue.Empty:
        raise late from None
    if error is not None:
        raise error


def _outcome(call: Callable[[], None]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None
