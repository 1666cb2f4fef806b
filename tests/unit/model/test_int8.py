"""The encoder and the embedding in 8 bits, and the files that keep them."""

import logging
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model.backends import int8_files
from worker.model.calibration import calibration_lightness
from worker.model.checkpoint import bundled_checkpoint_path
from worker.model.classifiers import inception_resnet_v2
from worker.model.classifiers.embedding import Embedding
from worker.model.colorizer import Colorizer
from worker.model.weights import Layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("int8") / "kept"


@pytest.mark.parametrize("head", ["paper", "vivid"])
def test_in_8_bits_the_colours_are_the_same_to_the_eye(map_checkpoint_folder: Path, folder: Path, head: str) -> None:
    scans = calibration_lightness(10)[8:]
    exact = Colorizer.load(map_checkpoint_folder, 1, head=head)
    faster = Colorizer.load(map_checkpoint_folder, 1, head=head, precision="int8", int8_folder=folder)

    assert faster.precision == "int8"
    assert faster.operations(1) == exact.operations(1)
    np.testing.assert_allclose(faster.predict(scans)[0], exact.predict(scans)[0], atol=1.0)  # 2.3 are just noticeable
    np.testing.assert_allclose(faster.embed(scans), exact.embed(scans), atol=0.05)
    for quantized, places in zip(faster.encode(scans), exact.encode(scans), strict=True):
        assert np.abs(quantized - places).mean() < 0.05 * np.abs(places).mean() + 1e-3


def test_the_bundled_checkpoint_gives_nearly_the_same_colours_in_8_bits() -> None:
    scans = calibration_lightness(12)[8:]
    exact = Colorizer.load(bundled_checkpoint_path(), 4, "compact").predict(scans)[0]
    faster = Colorizer.load(bundled_checkpoint_path(), 4, "compact", precision="int8").predict(scans)[0]
    assert np.abs(faster - exact).mean() < 0.3
    assert np.abs(faster - exact).max() < 4


def test_a_converted_network_is_kept(
    map_checkpoint_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Colorizer.load(map_checkpoint_folder, 1, precision="int8", int8_folder=folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}

    monkeypatch.setattr("worker.model.backends.int8.converted", lambda *_: pytest.fail("converted again"))
    Colorizer.load(map_checkpoint_folder, 1, precision="int8", int8_folder=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_the_parts_of_an_embedding_are_the_embedding(classifier_layers: Layers) -> None:
    whole = Embedding("inception_resnet_v2", "inception_resnet_v2", classifier_layers, 75)
    images = np.random.default_rng(1).uniform(-1, 1, (1, 75, 75, 3)).astype("f")
    values, used = images, 0
    for function, weights in whole.parts():
        values, used = np.asarray(function(values, weights)), used + len(weights)
    assert used == inception_resnet_v2.LAYERS - 1
    np.testing.assert_allclose(values, np.asarray(whole.last_map(images)), rtol=1e-4, atol=1e-5)


def test_pictures_for_measuring_ranges_are_always_the_same_and_cover_all_lightness() -> None:
    pictures = calibration_lightness(8)
    assert (pictures.shape, pictures.dtype) == ((8, 400, 400), np.float32)
    np.testing.assert_array_equal(pictures[:2], calibration_lightness(2))
    assert (pictures.min(), pictures.max()) == (0, 100)


def test_only_tensorflow_computes_in_8_bits(map_checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr("worker.model.backends.choice.backend", lambda: type("Gpu", (), {"device": lambda: "GPU"}))
    with pytest.raises(CheckpointError, match="int8 is for TensorFlow on a CPU, and this is jax on a GPU; choose"):
        Colorizer.load(map_checkpoint_folder, 1, precision="int8")


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert int8_files.kept(tmp_path / "own", "a", lambda: b"first") == b"first"
    assert int8_files.kept(tmp_path / "own", "a", lambda: b"second") == b"first"
    assert int8_files.kept(tmp_path / "own", "b", lambda: b"other") == b"other"
    for path in (tmp_path / "own").glob("*.tflite"):
        path.write_bytes(path.read_bytes()[:-1])
    assert int8_files.kept(tmp_path / "own", "a", lambda: b"third") == b"third"
    assert "is damaged; the network is converted again" in caplog.text
    assert int8_files.kept(tmp_path / "own", "a", lambda: b"fourth") == b"third"


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared, link = tmp_path / "shared", tmp_path / "link"
    shared.mkdir()
    shared.chmod(0o777)
    link.symlink_to(tmp_path, target_is_directory=True)
    with caplog.at_level(logging.WARNING):
        for folder in (shared, link, tmp_path / "none" / "below"):
            assert int8_files.kept(folder, "a", lambda: b"converted") == b"converted"
    assert list(shared.iterdir()) == []
    assert caplog.text.count("is converted at each start") == 3


def test_files_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    int8_files.kept(tmp_path / "own", "old", lambda: b"old")
    [old] = (tmp_path / "own").glob("*.tflite")
    os.utime(old, (0, 0))
    int8_files.kept(tmp_path / "own", "new", lambda: b"new")
    assert not old.exists()
