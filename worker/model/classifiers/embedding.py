"""The embedding: the probabilities of 1000 ImageNet classes that a classifier gives for a scan.

The classifier is chosen by name: `inception_resnet_v2` or `compact` of the checkpoint; `imagenet`, which is
InceptionResNetV2 with Keras' own weights, if Keras can download them; or a file of Keras weights of
`keras.applications`' InceptionResNetV2. The fusion network gets the square roots of the probabilities. They are vectors
of length 1, in which the second and third guess still count. Their scale is the same for every classifier, so
classifiers can be exchanged.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from worker.colour.lab_tensors import lightness_to_grey
from worker.errors import CheckpointError
from worker.model import weights as weights_io
from worker.model.checkpoint import IMAGENET, Card, check_embedding, embedding_choices, present_embedding_name
from worker.model.classifiers import compact, inception_resnet_v2
from worker.model.classifiers.grey_input import classifier_input, resized
from worker.model.weights import Layers

Tensor = Any

EMBEDDING_PX = 299  # the side that InceptionResNetV2 was made for
# By architecture.
FEATURE_MAPS = {"inception_resnet_v2": inception_resnet_v2.feature_maps, "compact": compact.feature_maps}
PARTS = {"inception_resnet_v2": inception_resnet_v2.parts, "compact": compact.parts}


@dataclass(frozen=True)
class Embedding:
    """A classifier that is ready to run, with the side of its input in px and the temperature by which its logits are
    divided.
    """

    name: str
    architecture: str
    layers: Layers
    side_px: int = EMBEDDING_PX
    temperature: float = 1.0

    def fingerprint(self) -> str:
        """Eight hexadecimal digits that differ for embeddings with the same name but other answers."""
        digest = hashlib.sha256(f"{self.architecture} {self.side_px} {self.temperature}".encode())
        for kernel, bias in self.layers:
            digest.update(np.ascontiguousarray(kernel).tobytes())
            digest.update(np.ascontiguousarray(bias).tobytes())
        return digest.hexdigest()[:8]

    def __call__(self, lightness: Tensor) -> Tensor:
        """L* (batch, side, side, 1), 0..100 -> square roots of class probabilities (batch, 1000), 0..1, length 1."""
        return self.answer(self.last_map(self.images(lightness)))

    def logits(self, images: Tensor) -> Tensor:
        """The classifier's input -> class logits (batch, 1000)."""
        return self._logits(self.last_map(images))

    def images(self, lightness: Tensor) -> Tensor:
        """L* (batch, side, side, 1), 0..100 -> the classifier's input (batch, side_px, side_px, 3), -1..1."""
        return classifier_input(resized(lightness_to_grey(lightness), self.side_px))

    def last_map(self, images: Tensor) -> Tensor:
        """The classifier's input -> its last feature map (batch, height, width, channels)."""
        *_, last = FEATURE_MAPS[self.architecture](images, self.layers[:-1])
        return last

    def parts(self) -> list[tuple[Callable[[Tensor, Any], Tensor], Sequence[tuple[Tensor, Tensor]]]]:
        """`last_map` as functions in a row, each with its weights, about 20 MB of them at most."""
        return PARTS[self.architecture](self.layers[:-1])

    def answer(self, last_map: Tensor) -> Tensor:
        """The last feature map -> square roots of class probabilities (batch, 1000)."""
        return ops.sqrt(ops.softmax(self._logits(last_map) / self.temperature))

    def _logits(self, last_map: Tensor) -> Tensor:
        kernel, bias = self.layers[-1]
        return ops.matmul(ops.mean(last_map, axis=(1, 2)), kernel) + bias

    def feature_maps(self, lightness: Tensor) -> tuple[Tensor, ...]:
        """L* (batch, side, side, 1), 0..100 -> the classifier's feature maps, from fine to coarse.

        Each map (batch, height, width, channels) has fewer places and more channels than the one before.
        """
        return FEATURE_MAPS[self.architecture](self.images(lightness), self.layers[:-1])


def load_embedding(name: str | None, folder: Path, card: Card) -> Embedding:
    """The embedding `name`; None: the default of the checkpoint in `folder`.

    Raises CheckpointError for an embedding that is missing or damaged, or can't be downloaded.
    """
    name = present_embedding_name(name or card.embedding)
    if name not in card.embeddings:
        return Embedding(name, "inception_resnet_v2", load_keras_layers(name, card))
    description = card.embeddings[name]
    layers = weights_io.read_embedding([card.file_path(folder, file) for file in description["files"]])
    return Embedding(
        name, description["architecture"], layers, int(description["input_px"]), float(description["temperature"])
    )


def build_classifier(side_px: int = EMBEDDING_PX, weights: str | None = None) -> keras.Model:
    """`keras.applications`' InceptionResNetV2, (batch, side, side, 3), -1..1 -> class logits (batch, 1000)."""
    return keras.applications.InceptionResNetV2(
        weights=weights, input_shape=(side_px, side_px, 3), classifier_activation=None
    )


def load_keras_layers(source: str, card: Card) -> Layers:
    """The layers of `imagenet` or of a file of Keras weights, batch norms folded in.

    Raises CheckpointError if the weights can't be downloaded or do not fit.
    """
    try:
        if source == IMAGENET:
            return inception_resnet_v2.fold(build_classifier(weights="imagenet"))
        return inception_resnet_v2.fold(_from_file(Path(source), card))
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"the embedding {source!r} can't be had ({reason}); give {embedding_choices(card)}"
        ) from None


def _from_file(path: Path, card: Card) -> keras.Model:
    check_embedding(card, str(path))
    model = build_classifier()
    model.load_weights(path)
    return model
