"""Loads Keras and its backend, without the lines about the machine that they write at every start."""

import os

from worker.system.held_output import held_standard_error

# Environment variables that change what oneDNN, TensorFlow and XLA compute. With ONEDNN_MAX_CPU_ISA=AVX2, for example,
# oneDNN has no bfloat16, so a model server that computes in bfloat16 would be aborted at each start.
_PREFIXES = ("ONEDNN_", "DNNL_", "XLA_", "TF_ENABLE_", "TF_XLA_")


def load_backend() -> None:
    """Load the backend and let it find its devices, so that later imports need not. Raises CheckpointError."""
    # TensorFlow's later warnings are not needed either; its errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_standard_error():
        from worker.model.backends.choice import backend  # this loads it

        backend().device()


def computing_variables() -> list[str]:
    """The environment variables that change what the backend computes, as NAME=VALUE, sorted."""
    return sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_PREFIXES))
