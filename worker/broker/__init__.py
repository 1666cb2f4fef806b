"""The Celery app and the queue of chunks."""
