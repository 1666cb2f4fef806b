"""The error of training and measuring."""

from worker.errors import PhotochromError


class TrainingError(PhotochromError):
    """The photos, the cache or the settings do not allow it, or the loss is no number any more."""
