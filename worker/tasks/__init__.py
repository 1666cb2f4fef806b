"""What Celery runs: the task of one chunk."""
