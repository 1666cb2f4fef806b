"""The encoder and the embedding in 8 bits, for processors that are faster so.

These two are most of the work, and colours hardly change by it. The feature maps and the decoder stay in float32: in 8
bits the maps alone cost 0.016 of R2 (docs/performance.md).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.extras import installed_version
from worker.model.backends import int8_files
from worker.model.backends.choice import Interpreter, Step, backend, int8
from worker.model.calibration import calibration_lightness
from worker.model.classifiers.embedding import Embedding
from worker.model.packing import PackedLightness, pack_lightness
from worker.system.heap import give_back_freed_memory
from worker.system.machine import whole_cores

Array = NDArray[Any]
Part = tuple[Callable[[Any, Any], Any], Sequence[tuple[Any, Any]]]  # a function of values and weights, and its weights

# Raise it when the networks' functions, the calibration pictures or the converter's options change what is computed.
_CONVERSION = 1
_PICTURES = 8  # at least, with which ranges are measured


class Int8Network:
    """A network's steps for one batch size, with its encoder and embedding in 8 bits.

    `float_step` gives a compiled step for a batch size by name: `images` (packed scans -> the embedding's input),
    `places` (packed scans -> the encoder's input and the feature maps) and `decode`. `key` stands for the weights and
    the sizes of the input.
    """

    def __init__(
        self,
        float_step: Callable[[str, int], Step],
        encoder: keras.Model,
        embedding: Embedding,
        size: int,
        lightness_px: int,
        key: str,
        folder: Path | None,
    ) -> None:
        self._images, self._places = float_step("images", size), float_step("places", size)
        self._decode = float_step("decode", size)
        self._size, self._lightness_px = size, lightness_px
        versions = f"conversion {_CONVERSION}, TensorFlow {installed_version('tensorflow')}"
        self._key = f"{key}, batches of {size}, {versions}"
        self._folder = folder
        self._encoder = self._interpreters(
            "encoder", [(lambda places, _: encoder(places, training=False), [])], self._places
        )
        self._embedding = self._interpreters("embedding", embedding.parts(), self._images)
        give_back_freed_memory()
        self._answer = backend().compile(
            lambda last_map: (embedding.answer(last_map),), [(self._embedding.output_shape, "float32")]
        )

    def embed(self, lightness: PackedLightness) -> list[Array]:
        """As the colorizer's step of this name: [embeddings (size, 1000)]."""
        return self._answer(self._embedding(self._images(lightness)[0]))

    def encode(self, lightness: PackedLightness) -> list[Array]:
        """As the colorizer's step of this name: [the encoder's output, *feature maps]."""
        places, *maps = self._places(lightness)
        return [self._encoder(places), *maps]

    def predict(self, lightness: PackedLightness) -> list[Array]:
        """As the colorizer's step of this name: [*packed a*, b* of each head, certainty]."""
        return self._decode(*self.embed(lightness), *self.encode(lightness))

    def _interpreters(self, name: str, parts: Sequence[Part], inputs: Step) -> "_Row":
        """`parts` in 8 bits, each applied to the result of the one before, from the folder or converted now.

        `inputs` makes the first one's input of packed scans. A conversion takes ten times the memory of the weights, so
        a large network comes in parts.
        """
        row, samples = _Row(), _Samples(inputs, self._size, self._lightness_px)
        for number, part in enumerate(parts, start=1):

            def convert(part: Part = part) -> bytes:
                function, weights = part
                tensors = [(ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)) for kernel, bias in weights]
                return int8().converted(lambda values: function(values, tensors), samples.after(row), self._size)

            content = int8_files.kept(
                self._folder, f"{name} {number}/{len(parts)}, {len(part[1])} layers, of {self._key}", convert
            )
            row.append(int8().Interpreter(content, whole_cores()))
        return row


class _Row:
    """Interpreters in a row, each of which gets the result of the one before."""

    def __init__(self) -> None:
        self._interpreters: list[Interpreter] = []

    def append(self, interpreter: Interpreter) -> None:
        self._interpreters.append(interpreter)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self._interpreters[-1].output_shape

    def __call__(self, values: Array) -> Array:
        for interpreter in self._interpreters:
            values = interpreter(values)
        return values


class _Samples:
    """The calibration pictures as a network's input."""

    def __init__(self, inputs: Step, size: int, lightness_px: int) -> None:
        self._inputs, self._size, self._lightness_px = inputs, size, lightness_px

    def after(self, row: _Row) -> Array:
        """Their values after the interpreters in `row` (n, ...), n a multiple of the batch size."""
        packed = pack_lightness(calibration_lightness(-(-_PICTURES // self._size) * self._size), self._lightness_px)
        batches = [packed[start : start + self._size] for start in range(0, len(packed), self._size)]
        return np.concatenate([row(self._inputs(batch)[0]) for batch in batches])


class Int8Step:
    """One of the steps of an `Int8Network`, as a `Step`. Its operations are those of the same step in float32."""

    def __init__(self, run: Callable[[PackedLightness], list[Array]], float_step: Callable[[], Step]) -> None:
        self._run, self._float_step = run, float_step

    def __call__(self, *arrays: Array) -> list[Array]:
        return self._run(*arrays)

    def operations(self) -> int:
        return self._float_step().operations()

    def compilations(self) -> int:
        return 1
