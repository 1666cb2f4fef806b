"""The fusion model as a worker runs it. This is the only file that is TensorFlow's own."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.model import checkpoint, norm_folding, vivid_head, weights
from worker.model.embedding import Embedding, load_embedding
from worker.model.features import MAP_SHAPES, FeatureNetwork, load_features
from worker.model.grey_input import resized
from worker.model.network import AB_SCALE, EMBEDDING_CLASSES, FUSION_CHANNELS, HEADS, Head, build_network, halves
from worker.model.precision import POLICIES, Precision, computing_in, fastest

logger = logging.getLogger(__name__)

SIDE_PX = 400
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeadColours:
    """What every head of a checkpoint says of the same scans, from one pass."""

    ab: Mapping[Head, Floats]  # a*, b* (n, 400, 400, 2), CIE units, by head
    certainty: Floats  # (n,), 0..1; NaN where the checkpoint has no vivid head, which it comes from


class Colorizer:
    """Predicts a*, b* for lightness, in batches of fixed sizes.

    The graph is traced at loading, for exactly `batch_size` scans and for each of `sizes`; a batch is padded to the
    smallest that holds it, so that nothing is ever traced again. All heads of the checkpoint are computed in one pass:
    they share all but their last layers, so each scan may ask for its own.
    """

    def __init__(
        self, card: checkpoint.Card, fusion: dict[str, Floats], embedding: Embedding, batch_size: int,
        head: Head | None = None, sizes: Sequence[int] = (), precision: Precision = "float32",
        features: FeatureNetwork | None = None,
    ) -> None:  # fmt: skip
        self.card = card
        self.head: Head = head or checkpoint.head_of(card, None)
        self.heads = tuple(name for name in HEADS if name in card.heads)
        self.checkpoint_id = card.variant(self.head, embedding.name, embedding.fingerprint)
        self.batch_size = batch_size
        self.embedding = embedding.name
        self.precision = precision
        self.device = device()
        self._features = features and features.on_device(POLICIES[precision].removeprefix("mixed_"))
        with computing_in(POLICIES[precision]):
            network = build_network(
                "both" if len(self.heads) > 1 else self.heads[0], card.input_px, batch_norm=False,
                features="lite2" if features else "none",
            )  # fmt: skip
        norm_folding.assign(network, fusion)
        self._encoder, self._decoder = halves(network)
        self._embedding = on_device(embedding)
        self._trace(sizes)

    def _trace(self, sizes: Sequence[int]) -> None:
        """Makes the graphs; those of `predict` for each size of a batch, those for measuring for one."""
        size, side = self.batch_size, self.card.input_px // 8
        scans = tf.TensorSpec([size, SIDE_PX, SIDE_PX], tf.float32)
        encoded = [(side, side, FUSION_CHANNELS), *(MAP_SHAPES if self._features else ())]
        places = [tf.TensorSpec([size, *shape], tf.float32) for shape in encoded]
        vectors = tf.TensorSpec([size, EMBEDDING_CLASSES], tf.float32)
        self._predict: dict[int, Any] = {number: self._traced(number) for number in sorted({size, *sizes})}
        self._embed = {size: tf.function(self._embed_batch, input_signature=[scans])}
        self._encode = {size: tf.function(self._encode_batch, input_signature=[scans])}
        self._decode = {size: tf.function(self._decode_batch, input_signature=[vectors, *places])}

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
        fusion, features = weights.read_fusion(folder), load_features(folder, card)
        colorizer = cls(card, fusion, embedding, batch_size, chosen, sizes, precision, features)
        logger.info(
            "checkpoint %s, head %s, embedding %s, in %s, loaded in %.1f s",
            card.id, chosen, embedding.name, precision, time.monotonic() - started,
        )  # fmt: skip
        return colorizer

    def predict(self, lightness: Floats) -> tuple[Floats, Floats]:
        """L* (n, 400, 400), 0..100 -> a*, b* (n, 400, 400, 2), CIE units, by `head`, and certainty (n,), 0..1.

        The certainty is NaN where the checkpoint has no vivid head. Any n, also 0. Raises ValueError for another shape.
        """
        colours = self.predict_heads(lightness)
        return colours.ab[self.head], colours.certainty

    def predict_heads(self, lightness: Floats) -> HeadColours:
        """L* (n, 400, 400), 0..100 -> what every head says, from one pass, so that each scan may ask for its own.

        A scan's own saturation is a factor of its a*, b*, for the caller. Raises ValueError for another shape.
        """
        return self._named(self._in_batches(self._predict, _scans(lightness)))

    def embed(self, lightness: Floats) -> Floats:
        """L* (n, 400, 400), 0..100 -> the embedding as the fusion gets it (n, 1000), 0..1. For measuring."""
        return self._in_batches(self._embed, _scans(lightness))[0]

    def encode(self, lightness: Floats) -> list[Floats]:
        """L* (n, 400, 400), 0..100 -> all that the network sees but the embedding, for `decode`. For measuring.

        What the encoder sees (n, input_px / 8, input_px / 8, 256), and the features' maps if the network has them.
        """
        return self._in_batches(self._encode, _scans(lightness))

    def decode(self, encoded: Sequence[Floats], embeddings: Floats) -> HeadColours:
        """As `predict_heads`, of scans encoded before, with these embeddings (n, 1000) in place of their own."""
        return self._named(self._in_batches(self._decode, embeddings, *encoded))

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

    def _named(self, results: list[Floats]) -> HeadColours:
        *colours, certainty = results
        return HeadColours(dict(zip(self.heads, colours, strict=True)), certainty)

    def _predict_batch(self, lightness: Any) -> tuple[Any, ...]:
        return self._decode_batch(self._embed_batch(lightness)[0], *self._encode_batch(lightness))

    def _embed_batch(self, lightness: Any) -> tuple[Any]:
        return (self._embedding(lightness[..., None]),)  # (batch, 1000)

    def _encode_batch(self, lightness: Any) -> tuple[Any, ...]:
        scaled = resized(lightness[..., None], self.card.input_px)
        encoded = self._encoder(scaled / 50.0 - 1.0, training=False)  # (batch, 50, 50, 256)
        maps = self._features(lightness[..., None]) if self._features else ()
        return tuple(tf.cast(places, tf.float32) for places in (encoded, *maps))

    def _decode_batch(self, embeddings: Any, encoded: Any, *maps: Any) -> tuple[Any, ...]:
        outputs = self._decoder([encoded, embeddings, *maps], training=False)
        by_head = dict(zip(self.heads, outputs if len(self.heads) > 1 else [outputs], strict=True))
        certainty = tf.fill([encoded.shape[0]], np.float32(np.nan))
        if "vivid" in by_head:
            certainty = vivid_head.certainty(by_head["vivid"])
            by_head["vivid"] = vivid_head.annealed_mean(by_head["vivid"], self.card.annealing_temperature)
        if "paper" in by_head:
            by_head["paper"] = by_head["paper"] * AB_SCALE
        colours = [resized(by_head[head], SIDE_PX) for head in self.heads]
        return (*colours, certainty)


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
