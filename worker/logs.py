"""One log format for every process, to standard error."""

import logging


def configure_logging(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    # One line a request or a chunk is for debugging; ours say what matters.
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # libvips warns of what it mends; what it can't read becomes the scan's own error.
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
