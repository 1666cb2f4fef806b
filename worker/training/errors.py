"""The error of training and measuring."""

from worker.errors import PhotochromError


class TrainingError(PhotochromError):
    """Training is not possible with these photos, this cache or these settings, or the loss is no longer a number."""
