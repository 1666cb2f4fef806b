"""The model as its server sees it: what is asked of `Colorizer` and of the stub, and one loaded for each embedding."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.errors import CheckpointError, ScanError
from worker.inference.shared_memory import SlotSize
from worker.model.packing import PackedAb, PackedLightness

Floats = NDArray[np.float32]


class Colours(Protocol):
    """What every head gives for the same scans, from one pass."""

    @property
    def ab(self) -> Mapping[Any, PackedAb]:
        """By head: (n, side, side, 2), as `pack_ab` packs it, at the side that the head makes it at."""
        ...

    @property
    def certainty(self) -> Floats:
        """(n,), 0..1; NaN where there is none."""
        ...


class Model(Protocol):
    """A checkpoint with one embedding, on its device, for batches of up to `batch_size` scans."""

    embedding: str
    device: str
    batch_size: int

    @property
    def head(self) -> str:
        """The head that is used where a scan asks for none: `paper`, `vivid`, or a stub's own."""
        ...

    @property
    def heads(self) -> tuple[str, ...]:
        """All heads that it has."""
        ...

    @property
    def precision(self) -> str:
        """`float32` or `bfloat16`."""
        ...

    @property
    def input_px(self) -> int:
        """The side of the square that the network sees, in pixels."""
        ...

    @property
    def doubtful_below(self) -> float | None:
        """The certainty, 0..1, that a tenth of unseen photos stay below; None where the checkpoint does not say."""
        ...

    @property
    def slot_size(self) -> SlotSize:
        """The sides of what it takes and gives."""
        ...

    def checkpoint_id_of(self, head: str) -> str:
        """The id that scans coloured by this head are recorded with."""
        ...

    def predict_packed(self, lightness: PackedLightness) -> Colours:
        """(n, lightness_px, lightness_px), as `pack_lightness` packs it -> what every head gives."""
        ...


# By batch size, embedding (None: the one that the server was given) and the side at which scans come, px.
LoadModel = Callable[[int, str | None, int], Model]


class LoadedModels:
    """One model for each embedding that a scan has asked for; the first is there from the start.

    In the hands of one thread, but for `resolve` and `about`.
    """

    def __init__(self, model: Model, load: LoadModel) -> None:
        self._first = model.embedding
        self._lightness_px = model.slot_size.lightness_px  # of the slots and batches, whichever model predicts them
        self._models: dict[str, Model | None] = {model.embedding: model}
        self._load = load
        self._batch_size = model.batch_size
        self._head, self._heads = model.head, model.heads
        self._ids: dict[tuple[str, str], str] = {}
        self._note_ids(model)

    def resolve(self, head: str | None, embedding: str | None) -> tuple[str, str]:
        """What a scan is coloured by that asks for these; raises ScanError for a head that the checkpoint lacks."""
        head = head or self._head
        if head not in self._heads:
            names = ", ".join(self._heads)
            raise model_failed(f"the checkpoint has no head {head!r}; expected {names}", permanent=True)
        return head, embedding or self._first

    def checkpoint_id(self, head: str, embedding: str) -> str:
        """The id that a scan coloured by these is recorded with; the embedding's model has been loaded by then."""
        return self._ids[head, embedding]

    def prepare(self, embedding: str) -> None:
        """Load the model of an embedding, when a scan asks for it first; raises ScanError."""
        if self._models.get(embedding) is None:
            try:
                chosen = None if embedding == self._first else embedding
                loaded = self._load(self._batch_size, chosen, self._lightness_px)
            except CheckpointError as error:
                raise model_failed(error.message, permanent=True) from error
            self._models[embedding] = loaded
            self._note_ids(loaded, embedding)

    def predict(self, lightness: PackedLightness, embedding: str) -> Colours:
        """As Model.predict_packed, by the model of this embedding."""
        self.prepare(embedding)
        model = self._models[embedding]
        assert model is not None
        return model.predict_packed(lightness)

    def _note_ids(self, model: Model, embedding: str | None = None) -> None:
        """Under the name that was asked for: an embedding may have had another name before."""
        for head in model.heads:
            self._ids[head, embedding or model.embedding] = model.checkpoint_id_of(head)

    def resize(self, batch_size: int) -> None:
        """Load all again, for smaller batches: the large models are gone before the small ones come."""
        self._batch_size = batch_size
        self._models = dict.fromkeys(self._models)


def model_failed(reason: str, *, permanent: bool) -> ScanError:
    return ScanError("model_failed", f"the model can't colour this scan: {reason}", permanent=permanent)
