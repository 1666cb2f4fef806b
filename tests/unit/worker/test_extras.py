"""The version of an installed package is found under whichever name it was installed."""

from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

import pytest

from worker.extras import installed_version


def test_tensorflow_for_cpus_alone_counts_as_tensorflow() -> None:
    def version(name: str) -> str:
        if name != "tensorflow-cpu":
            raise PackageNotFoundError(name)
        return "2.21.0"

    with patch("worker.extras.version", version):
        assert installed_version("tensorflow") == "2.21.0"
        with pytest.raises(PackageNotFoundError):
            installed_version("no such package")
