"""The fusion model for running, with any backend of Keras."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.errors import CheckpointError
from worker.model import checkpoint, norm_folding, vivid_head, weights
from worker.model.backends.choice import Step, backend, int8
from worker.model.backends.precision import POLICIES, Precision, computing_in, fastest
from worker.model.classifiers.embedding import Embedding, load_embedding
from worker.model.classifiers.features import FEATURES_PX, MAP_SHAPES, FeatureNetwork, load_features
from worker.model.classifiers.grey_input import resized
from worker.model.int8_network import Int8Network, Int8Step
from worker.model.network import AB_SCALE, EMBEDDING_CLASSES, FUSION_CHANNELS, HEADS, Head, build_network, halves
from worker.model.packing import (
    AB_STEPS,
    LIGHTNESS_STEPS,
    NOT_FINITE,
    SIDE_PX,
    PackedAb,
    PackedLightness,
    pack_lightness,
    unpack_ab,
)

__all__ = ["SIDE_PX", "Colorizer", "HeadColours", "PackedColours", "device"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeadColours:
    """The results of all heads of a checkpoint for the same scans, from one pass."""

    ab: Mapping[Head, Floats]  # a*, b* (n, 400, 400, 2), CIE units, by head
    certainty: Floats  # (n,), 0..1; from the vivid head, NaN if the checkpoint has none


@dataclass(frozen=True)
class PackedColours:
    """As HeadColours, but packed as it comes from the device: each head in the size in which it predicts."""

    ab: Mapping[Head, PackedAb]  # (n, side, side, 2): of a network of 400 px, 200 for the paper head, 100 for the vivid
    certainty: Floats  # (n,)


class Colorizer:
    """Predicts a*, b* for lightness, in batches of fixed sizes.

    The step is compiled at loading, for `batch_size` scans and for each of `sizes`. A batch is padded to the next of
    these sizes, so nothing is compiled later. All heads of the checkpoint are computed in one pass, because they share
    all layers except the last ones. So each scan may ask for its own head.
    """

    def __init__(
        self, card: checkpoint.Card, fusion: dict[str, Floats], embedding: Embedding, batch_size: int,
        head: Head | None = None, sizes: Sequence[int] = (), precision: Precision = "float32",
        features: FeatureNetwork | None = None, lightness_px: int | None = None, int8_folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.card = card
        self.head: Head = head or checkpoint.head_of(card, None)
        self.heads = tuple(name for name in HEADS if name in card.heads)
        self._fingerprint = embedding.fingerprint() if precision == "int8" else ""
        self.checkpoint_id = card.variant(self.head, embedding.name, embedding.fingerprint)
        self.batch_size = batch_size
        self.embedding = embedding.name
        self.precision = precision
        self.device = device()
        self.lightness_px = lightness_px or _lightness_px(card, features)
        self._features = features and features.on_device(POLICIES[precision].removeprefix("mixed_"))
        with computing_in(POLICIES[precision]):
            network = build_network(
                "both" if len(self.heads) > 1 else self.heads[0], card.input_px, batch_norm=False,
                features="lite2" if features else "none",
            )  # fmt: skip
        norm_folding.assign(network, fusion)
        self._encoder, self._decoder = halves(_without_upsampling(network))
        self._embedding = embedding if precision == "int8" else on_device(embedding)
        self._int8_folder = int8_folder
        self._compile(sizes)

    def _compile(self, sizes: Sequence[int]) -> None:
        """Compile the steps of `predict` for each batch size and run them once."""
        self._int8: dict[int, Int8Network] = {}  # by batch size
        self._others: dict[str, Step] = {}
        self._predict = {size: self._prediction(size) for size in sorted({self.batch_size, *sizes})}

    def _prediction(self, size: int) -> Step:
        step = self._step("predict", size)
        step(np.zeros((size, self.lightness_px, self.lightness_px), np.uint16))
        return step

    def _other(self, name: str) -> Step:
        """A step for batches of `batch_size` that is needed only for measuring."""
        if name not in self._others:
            self._others[name] = self._step(name, self.batch_size)
        return self._others[name]

    def _step(self, name: str, size: int) -> Step:
        """One of `predict`, `embed`, `encode` and `decode`, compiled for batches of `size`."""
        if self.precision != "int8" or name == "decode":
            return self._float_step(name, size)
        if size not in self._int8:
            key = f"{self.checkpoint_id} {self._fingerprint}, {self.card.input_px} of {self.lightness_px} px"
            self._int8[size] = Int8Network(
                self._float_step, self._encoder, self._embedding, size, self.lightness_px, key, self._int8_folder
            )
        return Int8Step(getattr(self._int8[size], name), lambda: self._float_step(name, size))

    def _float_step(self, name: str, size: int) -> Step:
        side = self.card.input_px // 8
        scans = ((self.lightness_px, self.lightness_px), "uint16")
        maps = [(shape, "float32") for shape in (MAP_SHAPES if self._features else ())]
        functions: dict[str, tuple[Callable[..., Sequence[Any]], list[tuple[tuple[int, ...], str]]]] = {
            "predict": (self._predict_batch, [scans]),
            "embed": (self._embed_batch, [scans]),
            "images": (self._images_batch, [scans]),
            "encode": (self._encode_batch, [scans]),
            "places": (self._places_batch, [scans]),
            "decode": (
                self._decode_batch,
                [((EMBEDDING_CLASSES,), "float32"), ((side, side, FUSION_CHANNELS), "float32"), *maps],
            ),
        }
        function, inputs = functions[name]
        return backend().compile(function, [((size, *shape), dtype) for shape, dtype in inputs])

    @classmethod
    def load(
        cls,
        folder: Path,
        batch_size: int = 8,
        embedding_name: str | None = None,
        head: str | None = None,
        sizes: Sequence[int] = (),
        precision: Precision | None = "float32",
        input_px: int | None = None,
        lightness_px: int | None = None,
        int8_folder: Path | None = None,
    ) -> Self:
        """Verifies the checkpoint in `folder`, builds the network and runs it once for each size of a batch.

        `embedding_name`: one of the card's `embeddings`, `imagenet`, or a file of Keras weights; `head`: one of the
        card's `heads`; `input_px`: the side of the square that the network sees, a multiple of 8; without them, what
        the card says is best. `precision`: None for the faster one on this machine. `lightness_px`: the side at which
        packed scans come, where that is settled; each network scales them to its own. `int8_folder`: keeps what was
        converted to 8 bits; None: it is converted each time.
        Raises CheckpointError for a checkpoint or embedding that is missing, damaged or made for another network.
        """
        started = time.monotonic()
        card = _seen_at(checkpoint.verify(folder), input_px)
        chosen = checkpoint.head_of(card, head)
        embedding = load_embedding(embedding_name, folder, card)
        precision = precision or fastest(on_gpu=device() == "GPU")
        if precision == "int8":
            int8()  # or CheckpointError
        fusion, features = weights.read_fusion(folder), load_features(folder, card)
        colorizer = cls(
            card, fusion, embedding, batch_size, chosen, sizes, precision, features, lightness_px, int8_folder
        )
        logger.info(
            "checkpoint %s, head %s, embedding %s, seen at %d px, in %s, loaded in %.1f s",
            card.id, chosen, embedding.name, card.input_px, precision, time.monotonic() - started,
        )  # fmt: skip
        return colorizer

    def predict(self, lightness: Floats) -> tuple[Floats, Floats]:
        """L* (n, 400, 400), 0..100 -> a*, b* (n, 400, 400, 2), CIE units, by `head`, and certainty (n,), 0..1.

        The certainty is NaN if the checkpoint has no vivid head. n may be any number, also 0. Raises ValueError for
        another shape.
        """
        colours = self.predict_heads(lightness)
        return colours.ab[self.head], colours.certainty

    def predict_heads(self, lightness: Floats) -> HeadColours:
        """L* (n, 400, 400), 0..100 -> the results of all heads, from one pass.

        The caller multiplies a*, b* by the scan's saturation. Raises ValueError for another shape.
        """
        return self._unpacked(self.predict_packed(self._packed(lightness)))

    def predict_packed(self, lightness: PackedLightness) -> PackedColours:
        """As `predict_heads`, with packed values: (n, lightness_px, lightness_px) -> each head in its own size."""
        return self._named(self._in_batches(self._predict, lightness))

    def embed(self, lightness: Floats) -> Floats:
        """L* (n, 400, 400), 0..100 -> the embedding that the fusion gets (n, 1000), 0..1. For measuring."""
        return self._in_batches({self.batch_size: self._other("embed")}, self._packed(lightness))[0]

    def encode(self, lightness: Floats) -> list[Floats]:
        """L* (n, 400, 400), 0..100 -> everything that the network computes before the embedding joins, for `decode`.

        For measuring.

        The encoder's output (n, input_px / 8, input_px / 8, 256), and the feature maps if the network has a map.
        """
        return self._in_batches({self.batch_size: self._other("encode")}, self._packed(lightness))

    def decode(self, encoded: Sequence[Floats], embeddings: Floats) -> HeadColours:
        """As `predict_heads`, for encoded scans, with these embeddings (n, 1000) instead of their own."""
        steps = {self.batch_size: self._other("decode")}
        return self._unpacked(self._named(self._in_batches(steps, embeddings, *encoded)))

    def operations(self, size: int) -> int:
        """Floating-point operations of one batch of `size`, which must be compiled, as the backend counts them."""
        return self._predict[size].operations()

    def _packed(self, lightness: Floats) -> PackedLightness:
        if lightness.ndim != 3 or lightness.shape[1:] != (SIDE_PX, SIDE_PX):
            raise ValueError(f"lightness of shape {lightness.shape} was given; expected (n, {SIDE_PX}, {SIDE_PX})")
        return pack_lightness(lightness, self.lightness_px)

    def _in_batches(self, steps: Mapping[int, Step], *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """Runs `steps` (by batch size, ascending) on padded batches, and joins the results."""
        parts: list[list[NDArray[Any]]] = []
        start, count = 0, len(arrays[0])
        # With no scans, one batch of padding still gives the shapes.
        while start < count or not parts:
            size = next((size for size in steps if size >= count - start), max(steps))
            batch = [array[start : start + size] for array in arrays]
            results = steps[size](*(_padded(array, size) for array in batch))
            parts.append([result[: len(batch[0])] for result in results])
            start += size
        return [np.concatenate(results) for results in zip(*parts, strict=True)]

    def _named(self, results: list[NDArray[Any]]) -> PackedColours:
        *colours, certainty = results
        return PackedColours(dict(zip(self.heads, colours, strict=True)), certainty)

    def _unpacked(self, colours: PackedColours) -> HeadColours:
        def unpacked(packed: PackedAb) -> Floats:
            scans = [unpack_ab(scan) for scan in packed]
            return np.asarray(scans, np.float32).reshape(-1, SIDE_PX, SIDE_PX, 2)

        return HeadColours({head: unpacked(packed) for head, packed in colours.ab.items()}, colours.certainty)

    def _predict_batch(self, lightness: Any) -> tuple[Any, ...]:
        return self._decode_batch(self._embed_batch(lightness)[0], *self._encode_batch(lightness))

    def _embed_batch(self, lightness: Any) -> tuple[Any]:
        return (self._embedding(_unpacked_lightness(lightness)),)  # (batch, 1000)

    def _images_batch(self, lightness: Any) -> tuple[Any]:
        """The embedding's input."""
        return (self._embedding.images(_unpacked_lightness(lightness)),)

    def _encode_batch(self, lightness: Any) -> tuple[Any, ...]:
        scaled, *maps = self._places_batch(lightness)
        encoded = self._encoder(scaled, training=False)  # (batch, 50, 50, 256)
        return (ops.cast(encoded, "float32"), *maps)

    def _places_batch(self, lightness: Any) -> tuple[Any, ...]:
        """The encoder's input, -1..1, and the feature maps, if the network has a map."""
        whole = _unpacked_lightness(lightness)
        maps = self._features(whole) if self._features else ()
        scaled = resized(whole, self.card.input_px) / 50.0 - 1.0
        return (scaled, *(ops.cast(places, "float32") for places in maps))

    def _decode_batch(self, embeddings: Any, encoded: Any, *maps: Any) -> tuple[Any, ...]:
        outputs = self._decoder([encoded, embeddings, *maps], training=False)
        by_head = dict(zip(self.heads, outputs if len(self.heads) > 1 else [outputs], strict=True))
        certainty = ops.full((encoded.shape[0],), float("nan"), dtype="float32")
        if "vivid" in by_head:
            certainty = ops.cast(vivid_head.certainty(by_head["vivid"]), "float32")
            by_head["vivid"] = vivid_head.annealed_mean(by_head["vivid"], self.card.annealing_temperature)
        if "paper" in by_head:
            by_head["paper"] = by_head["paper"] * AB_SCALE
        by_head = {head: varied(ab, self.card.variation.get(head, 1.0)) for head, ab in by_head.items()}
        return (*(_packed_ab(by_head[head]) for head in self.heads), certainty)


def _seen_at(card: checkpoint.Card, input_px: int | None) -> checkpoint.Card:
    """The card with this side of the network's input, or unchanged for None."""
    if input_px is None:
        return card
    if input_px % 8 or not 64 <= input_px <= SIDE_PX:
        raise CheckpointError(f"the input's side is {input_px} px; expected a multiple of 8, 64 to {SIDE_PX}")
    return replace(card, input_px=input_px)


def varied(ab: Any, factor: float) -> Any:
    """a*, b* (batch, h, w, 2) whose difference from each scan's mean is multiplied by `factor`."""
    if factor == 1:
        return ab
    mean = ops.mean(ab, axis=(1, 2), keepdims=True)
    return mean + factor * (ab - mean)


def device() -> str:
    """Where the network runs: CPU or GPU."""
    return backend().device()


def device_name() -> str:
    """CPU, or which GPU."""
    return backend().device_name()


def on_device(embedding: Embedding) -> Embedding:
    """The same embedding with its weights as tensors. Plain arrays would be copied into each traced graph."""
    layers = [(ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)) for kernel, bias in embedding.layers]
    return replace(embedding, layers=layers)


def _lightness_px(card: checkpoint.Card, features: FeatureNetwork | None) -> int:
    """The largest side that the network, the features or any of the card's embeddings needs.

    It is the same for every embedding, also for those that are not in the card. Otherwise one checkpoint id would stand
    for two results: a server's slots keep the side of its first model, and another embedding may be asked for later.
    """
    sides = [card.input_px, FEATURES_PX if features else 0]
    sides += [int(description.get("input_px", 0)) for description in card.embeddings.values()]
    return min(SIDE_PX, max(sides))


def _without_upsampling(network: keras.Model) -> keras.Model:
    """The network without the last upsampling of the paper head.

    Its colours are enlarged later, where they are used.
    """
    names = {layer.name for layer in network.layers}
    outputs = [
        network.get_layer("head_up").input if "head_up" in names and output is network.get_layer("head_up").output
        else output
        for output in network.outputs
    ]  # fmt: skip
    return keras.Model(network.inputs, outputs if len(outputs) > 1 else outputs[0])


def _unpacked_lightness(packed: Any) -> Any:
    """(batch, side, side) uint16 -> L* (batch, side, side, 1), 0..100."""
    return (ops.cast(packed, "float32") * (1 / LIGHTNESS_STEPS))[..., None]


def _packed_ab(ab: Any) -> Any:
    """a*, b* (batch, side, side, 2), CIE units -> int16; NOT_FINITE for values that are not finite."""
    steps = ops.clip(ops.round(ops.cast(ab, "float32") * AB_STEPS), -32_767, 32_767)
    return ops.cast(ops.where(ops.isfinite(ab), steps, float(NOT_FINITE)), "int16")


def _padded(array: NDArray[Any], batch_size: int) -> NDArray[Any]:
    """The array, filled with zeros up to the batch size."""
    return np.pad(array, [(0, batch_size - len(array)), *[(0, 0)] * (array.ndim - 1)])
