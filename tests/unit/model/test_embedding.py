from pathlib import Path

import keras
import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model.checkpoint import Card, read_card
from worker.model.classifiers import embedding, grey_input, inception_resnet_v2
from worker.model.weights import Layers


@pytest.fixture
def card(checkpoint_folder: Path) -> Card:
    return read_card(checkpoint_folder)


def test_the_folded_function_gives_the_logits_of_keras_applications(
    classifier: keras.Model, classifier_layers: Layers
) -> None:
    images = np.random.default_rng(1).uniform(-1, 1, (2, 75, 75, 3)).astype("f")
    expected = np.asarray(classifier(images, training=False))
    folded = embedding.Embedding("inception_resnet_v2", "inception_resnet_v2", classifier_layers, 75)
    np.testing.assert_allclose(np.asarray(folded.logits(images)), expected, atol=1e-4)
    assert len(classifier_layers) == inception_resnet_v2.LAYERS


def test_an_embedding_is_the_square_roots_of_probabilities(classifier_layers: Layers) -> None:
    lightness = np.random.default_rng(2).uniform(0, 100, (2, 80, 80, 1)).astype("f")
    given = np.asarray(
        embedding.Embedding("inception_resnet_v2", "inception_resnet_v2", classifier_layers, 75)(lightness)
    )
    assert given.shape == (2, 1000)
    np.testing.assert_allclose((given**2).sum(axis=1), 1, rtol=1e-4)


def test_the_classifier_sees_black_at_minus_one_and_white_at_one() -> None:
    seen = np.asarray(grey_input.classifier_input(np.array([[[[0.0], [255.0]]]], np.float32)))
    np.testing.assert_allclose(seen[0, 0], [[-1, -1, -1], [1, 1, 1]], atol=1e-6)


def test_a_missing_embedding_file_is_named(card: Card) -> None:
    with pytest.raises(
        CheckpointError, match=r"'/none\.weights\.h5' is neither .* give 'inception_resnet_v2', 'compact', 'imagenet'"
    ):
        embedding.load_keras_layers("/none.weights.h5", card)


def test_a_checkpoints_best_embedding_is_the_one_without_a_name(checkpoint_folder: Path, card: Card) -> None:
    assert embedding.load_embedding(None, checkpoint_folder, card).name == "inception_resnet_v2"
    assert embedding.load_embedding("compact", checkpoint_folder, card).architecture == "compact"


def test_imagenet_weights_that_cannot_be_fetched_are_one_line(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise OSError("URL fetch failure: no route to host\nat all")

    monkeypatch.setattr(embedding, "build_classifier", unreachable)
    with pytest.raises(CheckpointError, match="'imagenet' can't be had .*a file of Keras weights") as caught:
        embedding.load_keras_layers("imagenet", card)
    assert "\n" not in caught.value.message
