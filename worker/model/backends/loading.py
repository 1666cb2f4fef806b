"""Loads Keras and its backend, without the lines about the machine that they write at every start."""

import os

from worker.system.held_output import held_standard_error


def load_backend() -> None:
    """Load the backend and let it find its devices, so that later imports need not. Raises CheckpointError."""
    # Nobody needs its later warnings either; its errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_standard_error():
        from worker.model.backends.choice import backend  # this loads it

        backend().device()
