"""The worker: Celery children that read, compose and store scans, and model servers that predict colours."""
