"""The credentials with which a worker signs outputs."""

from worker.scans.metadata.credentials import Credentials
from worker.settings.settings import Settings


def load_credentials(settings: Settings) -> Credentials | None:
    """The credentials in the settings; None if outputs are not signed.

    Raises UsageError, and OSError for unreadable files.
    """
    if settings.c2pa_certificate is None:
        return None
    return Credentials.load(
        settings.c2pa_certificate,
        settings.c2pa_key,
        settings.c2pa_sign_command,
        algorithm=settings.c2pa_algorithm,
        timestamp_url=settings.c2pa_timestamp_url,
        max_bytes=settings.c2pa_max_bytes,
    )


def check_credentials(settings: Settings) -> None:
    """Sign a small picture with the credentials in the settings, if outputs are signed.

    Raises UsageError, ServiceUnavailable, and OSError for unreadable files.
    """
    if (credentials := load_credentials(settings)) is not None:
        credentials.check()
