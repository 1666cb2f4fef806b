"""Training under Keras' JAX backend, in a process in which TensorFlow can't be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.model.checkpoint import verify
from worker.model.classifiers import compact
from worker.model.network import build_network
from worker.training.export.checkpoint import TrainedEmbedding, export

# Keras imports TensorFlow by itself where it is installed, so here it is as on a machine without it.
CODE = """
import sys
from importlib import import_module

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError("no TensorFlow here", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from worker.training.__main__ import COMMAND_MODULES, main
for name in COMMAND_MODULES.values():
    import_module(f"worker.training.commands.{name}")
status = main(sys.argv[1:])
assert "tensorflow" not in sys.modules
sys.exit(status)
"""


def test_train_needs_no_tensorflow_under_jax(photo_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="needs jax: make test installs it")
    about = {"architecture": "compact", "input_px": 32, "temperature": 1.0}
    embedding = TrainedEmbedding(compact.fold(compact.build_compact(32)), about)
    export(tmp_path / "base", "base", build_network("both", 32), {"compact": embedding}, {})
    command = ["train", str(photo_folder), "--checkpoint", str(tmp_path / "base"), "--output", str(tmp_path / "run")]
    command += ["--head", "paper", "--side-px", "16", "--batch-size", "2", "--steps", "2"]

    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", CODE, *command], env=environment, check=True)

    card = verify(tmp_path / "run" / "checkpoint")
    assert card.training["validation"]["step"] == 2
