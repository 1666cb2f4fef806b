"""Loads Keras and its backend without the lines that they write at every start about the machine."""

import os

from worker.system.held_output import held_standard_error


def load_backend() -> None:
    """Whatever loads the backend afterwards finds it loaded, and its devices found. Raises CheckpointError."""
    # Its warnings later on are no news either; its errors come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_standard_error():
        from worker.model.backends.choice import backend  # this loads it

        backend().device()
