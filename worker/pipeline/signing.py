"""Who signs a worker's outputs, as its settings say."""

from worker.scans.metadata.credentials import Credentials
from worker.settings.settings import Settings


def load_credentials(settings: Settings) -> Credentials | None:
    """None where nobody signs. Raises UsageError, and OSError for files that can't be read."""
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
