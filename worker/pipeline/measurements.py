"""How long each stage of a scan takes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import fmean

from db.queries.scans.records import ScanMeasurements
from worker.observability.stages import Stage

_OF_THE_FIRST_PAGE = (
    *("picture_left", "picture_top", "picture_width", "picture_height"),
    *("software", "checkpoint", "head", "embedding", "saturation", "precision", "input_px", "doubtful_below"),
)


def add_up(whole: ScanMeasurements, pages: Sequence[ScanMeasurements]) -> None:
    """Add up the measurements of a scan's pages."""
    first = pages[0]
    for name in _OF_THE_FIRST_PAGE:
        setattr(whole, name, getattr(first, name))
    for name in (Stage.OPEN.column, Stage.WAIT.column, Stage.PREDICT.column, Stage.COMPOSE.column):
        setattr(whole, name, sum(getattr(page, name) for page in pages))
    for name in ("colourfulness", "clipped_share", "mean_a", "mean_b", "certainty"):
        values = [value for page in pages if (value := getattr(page, name)) is not None]
        setattr(whole, name, fmean(values) if values else None)
    whole.lost_metadata = "; ".join(dict.fromkeys(page.lost_metadata for page in pages if page.lost_metadata)) or None


def no_span(_name: str) -> AbstractContextManager[object]:
    """A span that does nothing, for processes without traces."""
    return nullcontext()


@contextmanager
def timed(measurements: ScanMeasurements, stage: Stage) -> Iterator[None]:
    """Add the time of the block to the stage, also if the block fails."""
    start = time.perf_counter()
    try:
        yield
    finally:
        setattr(measurements, stage.column, (time.perf_counter() - start) * 1000)
