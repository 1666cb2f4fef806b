"""The version of an installed package is found under whichever name it was installed; a missing one names its extra."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import patch

import pytest

from worker.errors import UsageError
from worker.extras import backend_package, installed_version, missing_extra

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_tensorflow_for_cpus_alone_counts_as_tensorflow() -> None:
    def version(name: str) -> str:
        if name != "tensorflow-cpu":
            raise PackageNotFoundError(name)
        return "2.21.0"

    with patch("worker.extras.version", version):
        assert installed_version("tensorflow") == "2.21.0"
        with pytest.raises(PackageNotFoundError):
            installed_version("no such package")


@pytest.mark.parametrize("package", ["apprise", "httpx"])
def test_notices_need_only_an_extra_of_their_own_and_the_pages_include_it(package: str) -> None:
    extras = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    error = missing_extra(ModuleNotFoundError(name=package))

    assert error is not None
    assert "pip install 'photochrom[notices]'" in error.message
    assert package in {re.split("[>=;]", requirement)[0] for requirement in extras["notices"]}
    assert len(extras["notices"]) == 2
    assert any("notices" in requirement for requirement in extras["web"])


@pytest.mark.parametrize(("variable", "package"), [("", "tensorflow"), ("tensorflow", "tensorflow"), ("jax", "jax")])
def test_the_model_s_package_is_the_one_that_keras_will_use(
    variable: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", variable)
    assert backend_package() == package


def test_a_backend_that_is_not_supported_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UsageError, match="KERAS_BACKEND is 'torch'; expected one of tensorflow, jax"):
        backend_package()
