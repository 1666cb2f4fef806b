"""How many scans are in one device batch: as many as fit into memory, as long as more are faster."""

import logging
import time
from collections.abc import Callable

import numpy as np

from worker.inference.models.interface import Model
from worker.settings.model_options import CPU_BATCH_SIZE

LARGEST_BATCH = 256
_FASTER = 1.05  # a larger batch costs memory and waiting time, so it must be at least this much faster
_MEASURED_BATCHES = 3

logger = logging.getLogger(__name__)

LoadSize = Callable[[int], Model]  # by batch size


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's error means that the batch was too large.

    It is recognized by name, so TensorFlow is not needed here.
    """
    names = {parent.__name__ for parent in type(error).__mro__}
    return bool(names & {"MemoryError", "ResourceExhaustedError"}) or "RESOURCE_EXHAUSTED" in str(error)


def load_largest(load: LoadSize, batch_size: int) -> Model:
    """Load the model with `batch_size`; halve it until the device has enough memory."""
    while True:
        try:
            return load(batch_size)
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
        batch_size //= 2
        logger.warning("the device ran out of memory: trying batches of %d scans", batch_size)


def load_fastest(load: LoadSize, clock: Callable[[], float] = time.perf_counter) -> Model:
    """Load the model with the batch size that is fastest here. On a GPU the size is doubled as long as this is faster.

    The next size is loaded beside the last one, so the chosen size leaves some device memory free.
    """
    best = load_largest(load, CPU_BATCH_SIZE)
    if best.device != "GPU" or best.batch_size < CPU_BATCH_SIZE:
        return best
    pace = scans_per_second(best, clock)
    while best.batch_size * 2 <= LARGEST_BATCH:
        try:
            larger = load(best.batch_size * 2)
            larger_pace = scans_per_second(larger, clock)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        logger.info("batches of %d: %.0f scans/s; of %d: %.0f", best.batch_size, pace, larger.batch_size, larger_pace)
        if larger_pace < pace * _FASTER:
            break
        best, pace = larger, larger_pace
    logger.info("batches of %d scans; PHOTOCHROM_BATCH_SIZE=%d saves this search", best.batch_size, best.batch_size)
    return best


def scans_per_second(model: Model, clock: Callable[[], float]) -> float:
    """The pace of the fastest of some full batches, after one to warm up. Raises what predict raises."""
    side = model.slot_size.lightness_px
    lightness = np.full((model.batch_size, side, side), 1 << 15, np.uint16)
    model.predict_packed(lightness)
    seconds = []
    for _ in range(_MEASURED_BATCHES):
        began = clock()
        model.predict_packed(lightness)
        seconds.append(clock() - began)
    return model.batch_size / max(min(seconds), 1e-9)
