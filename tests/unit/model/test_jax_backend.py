"""Keras' JAX backend gives the same colours as the TensorFlow backend.

JAX runs in a process of its own, because Keras uses only one backend in a process.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worker.model.colorizer import Colorizer

CODE = """
import sys
from pathlib import Path
import numpy as np
from worker.model.colorizer import Colorizer
colorizer = Colorizer.load(Path(sys.argv[1]), 1, sizes=(2,))
colours = colorizer.predict_heads(np.load(sys.argv[2]))
assert "tensorflow" not in sys.modules
assert colorizer.operations(2) > 1e9
np.savez(sys.argv[3], certainty=colours.certainty, **colours.ab)
"""


def test_jax_gives_the_colours_that_tensorflow_gives(checkpoint_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="needs jax: make test installs it")
    lightness = np.random.default_rng(5).uniform(0, 100, (3, 400, 400)).astype(np.float32)
    np.save(tmp_path / "lightness.npy", lightness)
    paths = [str(path) for path in (checkpoint_folder, tmp_path / "lightness.npy", tmp_path / "colours.npz")]

    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", CODE, *paths], env=environment, check=True)

    expected = Colorizer.load(checkpoint_folder, 1).predict_heads(lightness)
    given = np.load(paths[2])
    for head, ab in expected.ab.items():
        np.testing.assert_allclose(given[head], ab, atol=0.05)
    np.testing.assert_allclose(given["certainty"], expected.certainty, atol=1e-3)
