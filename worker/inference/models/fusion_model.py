"""The fusion model for the model server. This module loads TensorFlow."""

from pathlib import Path
from typing import Self, cast

from worker.errors import CheckpointError
from worker.inference.models.interface import Colours
from worker.inference.shared_memory import SlotSize
from worker.model.backends import precision_file
from worker.model.backends.precision import Precision, fastest
from worker.model.checkpoint import read_card
from worker.model.colorizer import Colorizer, device, device_name
from worker.model.packing import PackedLightness
from worker.settings.model_options import ModelOptions


class FusionModel:
    """A `Colorizer` for `LoadedModels`."""

    def __init__(self, colorizer: Colorizer) -> None:
        self._colorizer = colorizer
        self.embedding, self.device, self.batch_size = colorizer.embedding, colorizer.device, colorizer.batch_size
        self.head: str = colorizer.head
        self.heads: tuple[str, ...] = colorizer.heads
        self.precision: str = colorizer.precision
        self.input_px = colorizer.card.input_px
        self.doubtful_below = colorizer.card.doubtful_below
        self.slot_size = SlotSize(colorizer.lightness_px, self.input_px // 2)

    @classmethod
    def load(
        cls, options: ModelOptions, batch_size: int, embedding: str | None, lightness_px: int | None = None
    ) -> Self:
        """Load the model onto its device. Raises CheckpointError."""
        if options.checkpoint is None:
            raise CheckpointError("no checkpoint was given; expected a folder")
        precision = cast("Precision | None", options.precision) or _decided(options.precision_file, options.checkpoint)
        return cls(
            Colorizer.load(
                options.checkpoint,
                batch_size,
                embedding,
                options.head,
                precision=precision,
                input_px=options.input_px,
                lightness_px=lightness_px,
                int8_folder=options.int8_folder,
            )
        )

    def checkpoint_id_of(self, head: str) -> str:
        # This is the id for the default head. If the embedding is a file, the id ends in a digest.
        of_own_head = self._colorizer.checkpoint_id
        return self._colorizer.card.variant(head, self.embedding, lambda: of_own_head.rpartition("-")[2])

    def predict_packed(self, lightness: PackedLightness) -> Colours:
        return self._colorizer.predict_packed(lightness)


def _decided(path: Path | None, checkpoint: Path) -> Precision | None:
    """The precision in the file, which is measured first if it is not there; None without a file."""
    if path is None:
        return None
    key = precision_file.machine_key(device_name(), read_card(checkpoint).id)
    return precision_file.decided(path, key, lambda: fastest(on_gpu=device() == "GPU"))
