"""The interface of a model (`Colorizer` or the stub) for its server, and the loaded models, one for each embedding."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.errors import CheckpointError, ScanError
from worker.inference.shared_memory import SlotSize
from worker.model.packing import PackedAb, PackedLightness

Floats = NDArray[np.float32]


class Colours(Protocol):
    """The results of all heads for the same scans, from one pass."""

    @property
    def ab(self) -> Mapping[Any, PackedAb]:
        """a*, b* of each head, (n, side, side, 2), packed by `pack_ab`, in the size in which the head predicts."""
        ...

    @property
    def certainty(self) -> Floats:
        """The certainty of each scan (n,), 0..1; NaN if the checkpoint has no vivid head."""
        ...


class Model(Protocol):
    """A checkpoint with one embedding, on its device, for batches of up to `batch_size` scans."""

    embedding: str
    device: str
    batch_size: int

    @property
    def head(self) -> str:
        """The head for scans that ask for none: `paper`, `vivid`, or a stub's own."""
        ...

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of all heads."""
        ...

    @property
    def precision(self) -> str:
        """`float32`, `bfloat16` or `int8`."""
        ...

    @property
    def input_px(self) -> int:
        """The side of the square that the network sees, in pixels."""
        ...

    @property
    def doubtful_below(self) -> float | None:
        """The certainty, 0..1, that a tenth of unseen photos do not reach; None if the checkpoint does not say."""
        ...

    @property
    def slot_size(self) -> SlotSize:
        """The sides of its input and its output, in pixels."""
        ...

    def checkpoint_id_of(self, head: str) -> str:
        """The checkpoint id for scans that this head has coloured."""
        ...

    def predict_packed(self, lightness: PackedLightness) -> Colours:
        """Lightness (n, lightness_px, lightness_px), packed by `pack_lightness` -> the results of all heads."""
        ...


# Loads a model by batch size, embedding (None: that of the server's options) and the side of incoming scans in pixels.
LoadModel = Callable[[int, str | None, int], Model]


class LoadedModels:
    """One model for each embedding that a scan has asked for. The first is loaded at the start.

    Used by one thread only, except `resolve` and `about`.
    """

    def __init__(self, model: Model, load: LoadModel) -> None:
        self._first = model.embedding
        self._lightness_px = model.slot_size.lightness_px  # of the slots and batches, the same for all models
        self._models: dict[str, Model | None] = {model.embedding: model}
        self._load = load
        self._batch_size = model.batch_size
        self._head, self._heads = model.head, model.heads
        self._ids: dict[tuple[str, str], str] = {}
        self._note_ids(model)

    def resolve(self, head: str | None, embedding: str | None) -> tuple[str, str]:
        """The head and the embedding for a scan that asks for these.

        Raises ScanError for a head that the checkpoint does not have.
        """
        head = head or self._head
        if head not in self._heads:
            names = ", ".join(self._heads)
            raise model_failed(f"the checkpoint has no head {head!r}; expected {names}", permanent=True)
        return head, embedding or self._first

    def checkpoint_id(self, head: str, embedding: str) -> str:
        """The checkpoint id for a scan that was coloured by these. The embedding's model must be loaded."""
        return self._ids[head, embedding]

    def prepare(self, embedding: str) -> None:
        """Load the model of an embedding if it is not loaded yet. Raises ScanError."""
        if self._models.get(embedding) is None:
            try:
                chosen = None if embedding == self._first else embedding
                loaded = self._load(self._batch_size, chosen, self._lightness_px)
            except CheckpointError as error:
                raise model_failed(error.message, permanent=True) from error
            self._models[embedding] = loaded
            self._note_ids(loaded, embedding)

    def predict(self, lightness: PackedLightness, embedding: str) -> Colours:
        """As Model.predict_packed, with the model of this embedding."""
        self.prepare(embedding)
        model = self._models[embedding]
        assert model is not None
        return model.predict_packed(lightness)

    def _note_ids(self, model: Model, embedding: str | None = None) -> None:
        """Store the ids under the requested name, because an embedding may have had another name before."""
        for head in model.heads:
            self._ids[head, embedding or model.embedding] = model.checkpoint_id_of(head)

    def resize(self, batch_size: int) -> None:
        """Load all models again for smaller batches. The large ones are freed before the small ones are loaded."""
        self._batch_size = batch_size
        self._models = dict.fromkeys(self._models)


def model_failed(reason: str, *, permanent: bool) -> ScanError:
    return ScanError("model_failed", f"the model can't colour this scan: {reason}", permanent=permanent)
