"""The optional parts of an installation: says which extra has a missing Python package."""

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from worker.errors import UsageError

# The packages that Keras can compute with, and what people call them. KERAS_BACKEND chooses; Keras reads it itself.
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}

# By the package's import name; pyproject.toml says what each extra holds.
_EXTRA_OF = {
    "PIL": "report",
    "apprise": "notices",
    "c2pa": "c2pa",
    "cv2": "report",
    "fastapi": "web",
    "httpx": "notices",
    "imagecodecs": "report",
    "jax": "jax",
    "keras": "worker",
    "matplotlib": "report",
    "numpy": "report",
    "opentelemetry": "traces",
    "psutil": "run",
    "psycopg": "postgresql",
    "pyarrow": "archive",
    "pyvips": "report",
    "ray": "peers",
    "skimage": "train",
    "sklearn": "standalone",
    "tensorflow": "worker",
    "uvicorn": "web",
}


def is_installed(package: str) -> bool:
    """Whether a package can be imported here; it is not imported."""
    return find_spec(package) is not None


def backend_package() -> str:
    """The package that the model computes with here: TensorFlow, or what KERAS_BACKEND names.

    Raises UsageError for one that Photochrom does not support.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND is {name!r}; expected one of {', '.join(BACKENDS)}")
    return name


def installed_version(name: str) -> str:
    """The version of a distribution, or of its build for CPUs, because the image has tensorflow-cpu instead of
    tensorflow.
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-cpu")


def expect_installed(package: str) -> None:
    """Raises UsageError, which says what to install, if a package of an extra is missing."""
    if not is_installed(package):
        raise _missing(package)


def missing_extra(error: ModuleNotFoundError) -> UsageError | None:
    """An error that says what to install, for a package of an extra; None for any other package, which is a fault in
    the code.
    """
    package = (error.name or "").partition(".")[0]
    return _missing(package) if package in _EXTRA_OF else None


def extra_of(package: str) -> str:
    """The extra that has a package."""
    return _EXTRA_OF[package]


def _missing(package: str) -> UsageError:
    return UsageError(
        f"this installation has no Python package {package}, which this command needs; "
        f"install Photochrom with its extra: pip install 'photochrom[{extra_of(package)}]'"
    )
