"""The checkpoint's files."""

from collections.abc import Iterator

from scheduler.doctor.finding import Finding, State
from worker.model.checkpoint import read_card, verify
from worker.settings.settings import Settings


def checkpoint(settings: Settings) -> Iterator[Finding]:
    """Whether the checkpoint's files have the hashes in its card."""
    folder = settings.checkpoint_folder
    if settings.stand_in_model_milliseconds is not None:
        remedy = "unset PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS"
        yield Finding("checkpoint", State.WRONG, "a stand-in colours every scan, not the model", remedy)
        return
    verify(folder)
    card = read_card(folder)
    yield Finding("checkpoint", State.FINE, f"{card.id} ({card.name}) in {folder} is whole")
