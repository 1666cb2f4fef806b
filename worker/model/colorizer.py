"""The fusion model as a worker runs it. This is the only file that is TensorFlow's own."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from worker.model import checkpoint, norm_folding, vivid_head, weights
from worker.model.embedding import Embedding, load_embedding
from worker.model.network import AB_SCALE, EMBEDDING_CLASSES, ENCODED_SHAPE, Head, build_network, halves
from worker.model.precision import POLICIES, Precision, computing_in, fastest

logger = logging.getLogger(__name__)

SIDE_PX = 400
Floats = NDArray[np.float32]


class Colorizer:
    """Predicts a*, b* for lightness, in batches of fixed sizes.

    The graph is traced at loading, for exactly `batch_size` scans and for each of `sizes`; a batch is padded to the
    smallest that holds it, so that nothing is ever traced again.
    """

    def __init__(
        self, card: checkpoint.Card, fusion: dict[str, Floats], embedding: Embedding, batch_size: int,
        head: Head | None = None, sizes: Sequence[int] = (), precision: Precision = "float32",
    ) -> None:  # fmt: skip
        self.card = card
        self.head: Head = head or checkpoint.head_of(card, None)
        self.checkpoint_id = card.variant(self.head, embedding.name, embedding.fingerprint)
        self.batch_size = batch_size
        self.embedding = embedding.name
        self.precision = precision
        self.device = device()
        with computing_in(POLICIES[precision]):
            network = build_network(self.head, SIDE_PX, batch_norm=False)
        norm_folding.assign(network, norm_folding.for_head(fusion, self.head))
        self._encoder, self._decoder = halves(network)
        self._embedding = on_device(embedding)
        scans = tf.TensorSpec([batch_size, SIDE_PX, SIDE_PX], tf.float32)
        encoded = tf.TensorSpec([batch_size, *ENCODED_SHAPE], tf.float32)
        vectors = tf.TensorSpec([batch_size, EMBEDDING_CLASSES], tf.float32)
        self._predict: dict[int, Any] = {size: self._traced(size) for size in sorted({batch_size, *sizes})}
        self._embed = {batch_size: tf.function(self._embed_batch, input_signature=[scans])}
        self._encode = {batch_size: tf.function(self._encode_batch, input_signature=[scans])}
        self._decode = {batch_size: tf.function(self._decode_batch, input_signature=[encoded, vectors])}

    @classmethod
    def load(
        cls,
        folder: Path,
        batch_size: int = 8,
        embedding_name: str | None = None,
        head: str | None = None,
        sizes: Sequence[int] = (),
        precision: Precision | None = "float32",
    ) -> Self:
        """Verifies the checkpoint in `folder`, builds the graph and runs it once for each size of a batch.

        `embedding_name`: one of the card's `embeddings`, `imagenet`, or a file of Keras weights; `head`: one of the
        card's `heads`; without them, what the card says is best. `precision`: None for the faster one on this machine.
        Raises CheckpointError for a checkpoint or embedding that is missing, damaged or made for another network.
        """
        started = time.monotonic()
        card = checkpoint.verify(folder)
        chosen = checkpoint.head_of(card, head)
        embedding = load_embedding(embedding_name, folder, card)
        precision = precision or fastest(on_gpu=device() == "GPU")
        colorizer = cls(card, weights.read_fusion(folder), embedding, batch_size, chosen, sizes, precision)
        logger.info(
            "checkpoint %s, head %s, embedding %s, in %s, loaded in %.1f s",
            card.id, chosen, embedding.name, precision, time.monotonic() - started,
        )  # fmt: skip
        return colorizer

    def predict(self, lightness: Floats) -> tuple[Floats, Floats]:
        """L* (n, 400, 400), 0..100 -> a*, b* (n, 400, 400, 2), CIE units, and certainty (n,), 0..1.

        The certainty is NaN for the paper head, which has none. Any n, also 0. Raises ValueError for another shape.
        """
        ab, certainty = self._in_batches(self._predict, _scans(lightness))
        return ab, certainty

    def embed(self, lightness: Floats) -> Floats:
        """L* (n, 400, 400), 0..100 -> the embedding as the fusion gets it (n, 1000), 0..1. For measuring."""
        return self._in_batches(self._embed, _scans(lightness))[0]

    def encode(self, lightness: Floats) -> Floats:
        """L* (n, 400, 400), 0..100 -> what the encoder sees (n, 50, 50, 256), for `decode`. For measuring."""
        return self._in_batches(self._encode, _scans(lightness))[0]

    def decode(self, encoded: Floats, embeddings: Floats) -> tuple[Floats, Floats]:
        """As `predict`, of scans encoded before, with these embeddings (n, 1000) in place of their own."""
        ab, certainty = self._in_batches(self._decode, encoded, embeddings)
        return ab, certainty

    def operations(self, size: int) -> int:
        """Floating-point operations of one batch of `size`, one of those traced, as TensorFlow counts its graph's."""
        from tensorflow.compat.v1 import profiler

        options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output()
        graph = self._predict[size].get_concrete_function().graph
        return int(profiler.profile(graph, options=options.build()).total_float_ops)

    def _traced(self, size: int) -> Any:
        signature = [tf.TensorSpec([size, SIDE_PX, SIDE_PX], tf.float32)]
        step = tf.function(self._predict_batch, input_signature=signature)
        step(tf.zeros(signature[0].shape))
        return step

    def _in_batches(self, steps: Mapping[int, Callable[..., Sequence[Any]]], *given: Floats) -> list[Floats]:
        """Runs `steps`, by the size of their batch in ascending order, on padded batches and joins what they give."""
        parts: list[list[Floats]] = []
        start, count = 0, len(given[0])
        # Of no scans at all, one batch of padding still tells the shapes.
        while start < count or not parts:
            size = next((size for size in steps if size >= count - start), max(steps))
            batch = [array[start : start + size] for array in given]
            results = steps[size](*(tf.constant(_padded(array, size)) for array in batch))
            parts.append([result.numpy()[: len(batch[0])] for result in results])
            start += size
        return [np.concatenate(results) for results in zip(*parts, strict=True)]

    def _predict_batch(self, lightness: Any) -> tuple[Any, Any]:
        return self._decode_batch(self._encode_batch(lightness)[0], self._embed_batch(lightness)[0])

    def _embed_batch(self, lightness: Any) -> tuple[Any]:
        return (self._embedding(lightness[..., None]),)  # (batch, 1000)

    def _encode_batch(self, lightness: Any) -> tuple[Any]:
        encoded = self._encoder(lightness[..., None] / 50.0 - 1.0, training=False)  # (batch, 50, 50, 256)
        return (tf.cast(encoded, tf.float32),)

    def _decode_batch(self, encoded: Any, embeddings: Any) -> tuple[Any, Any]:
        output = self._decoder([encoded, embeddings], training=False)
        if self.head == "paper":
            return output * AB_SCALE, tf.fill([encoded.shape[0]], np.float32(np.nan))
        colours = vivid_head.annealed_mean(output, self.card.annealing_temperature)  # (batch, 100, 100, 2)
        ab = ops.image.resize(colours, (SIDE_PX, SIDE_PX), interpolation="bilinear")
        return ab, vivid_head.certainty(output)


def device() -> str:
    """Where TensorFlow puts the network: CPU or GPU."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def on_device(embedding: Embedding) -> Embedding:
    """The same with its weights as tensors: plain arrays would be copied into each graph that is traced."""
    return replace(embedding, layers=[(tf.constant(kernel), tf.constant(bias)) for kernel, bias in embedding.layers])


def _scans(lightness: Floats) -> Floats:
    if lightness.ndim != 3 or lightness.shape[1:] != (SIDE_PX, SIDE_PX):
        raise ValueError(f"lightness of shape {lightness.shape} was given; expected (n, {SIDE_PX}, {SIDE_PX})")
    return lightness


def _padded(array: Floats, batch_size: int) -> Floats:
    """The array with zeros behind it, up to the batch size, as float32."""
    missing = batch_size - len(array)
    return np.pad(np.asarray(array, np.float32), [(0, missing), *[(0, 0)] * (array.ndim - 1)])
