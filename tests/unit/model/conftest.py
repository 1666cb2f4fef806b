"""An InceptionResNetV2 and whole checkpoints, made only once because making them takes seconds."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.unit.model.feature_layers import untrained_feature_layers
from worker.model.classifiers import compact, inception_resnet_v2
from worker.model.classifiers.embedding import build_classifier
from worker.model.network import build_network
from worker.model.weights import Layers
from worker.training.export.checkpoint import TrainedEmbedding, TrainedFeatures, export

SMALLEST_PX = 75  # InceptionResNetV2 takes no smaller image


@pytest.fixture(scope="session")
def classifier() -> keras.Model:
    """Untrained, but with batch norms that do something."""
    model = build_classifier(SMALLEST_PX)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.beta.shape[0]
            layer.set_weights([*rng.normal(0, 0.1, (2, channels)), rng.uniform(0.5, 2, channels)])
    return model


@pytest.fixture(scope="session")
def classifier_layers(classifier: keras.Model) -> Layers:
    return inception_resnet_v2.fold(classifier)


@pytest.fixture(scope="session")
def feature_layers() -> Layers:
    return untrained_feature_layers()


@pytest.fixture(scope="session")
def map_checkpoint_folder(feature_layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint with a feature map; its network sees scans at 64 px."""
    folder = tmp_path_factory.mktemp("checkpoints") / "with-map"
    small = {"architecture": "compact", "input_px": 32, "temperature": 1.0}
    embeddings = {"compact": TrainedEmbedding(compact.fold(compact.build_compact(32)), small)}
    map_network = TrainedFeatures(feature_layers, {"licence": "none", "origin": "untrained"})
    network = build_network("both", 64, features="lite2")
    export(folder, "with-map", network, embeddings, {}, features=map_network, input_px=64)
    return folder


@pytest.fixture(scope="session")
def checkpoint_folder(classifier_layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint; tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("checkpoints") / "untrained"
    about = {"architecture": "inception_resnet_v2", "input_px": SMALLEST_PX, "temperature": 1.0}
    small = {"architecture": "compact", "input_px": 32, "temperature": 1.0}
    embeddings = {
        "inception_resnet_v2": TrainedEmbedding(classifier_layers, about),
        "compact": TrainedEmbedding(compact.fold(compact.build_compact(32)), small),
    }
    export(folder, "untrained", build_network("both", 32), embeddings, {}, ("untrained",))
    return folder
