import json
import sys
from pathlib import Path

import pytest

from tests.bench import backends


def test_the_bare_network_is_measured_under_the_keras_backend_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = tmp_path / "figures.json"
    given = ["--batch", "1", "--precision", "float32", "--seconds", "0.01", "--matrix", "64", "--json", str(figures)]
    monkeypatch.setattr(sys, "argv", ["backends", *given])
    backends.main()
    found = json.loads(figures.read_text())
    assert found["backend"] == "tensorflow"
    assert [each["precision"] for each in found["products"]] == ["float32"]
    (one,) = found["figures"]
    assert (one["embedding"], one["batch"]) == ("compact", 1)
    assert one["on_device"] > 0
    assert one["with_copies"] > 0
