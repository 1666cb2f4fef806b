"""The logits of embeddings for the training photos: computed once for each embedding, and stored beside the photos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.model.classifiers.embedding import Embedding
from worker.system.whole_files import write_beside_then_rename
from worker.training.data.class_logits import CLASSES, Logits, load_logits
from worker.training.data.embedder import Embedder
from worker.training.data.photo_cache import SHORT_SIDE_PX, PhotoCache
from worker.training.data.photos import square_lab
from worker.training.errors import TrainingError

PHOTOS_AT_ONCE = 256  # in memory
LEAST = 1e-6  # least square root of a probability, so that its logarithm is finite


def own_logits(cache: PhotoCache, embedding: Embedding, folder: Path, say: Callable[[str], None]) -> Logits:
    """Class logits (n, 1000) of the cache's photos in grey, up to a constant for each photo.

    They are read from `folder` if they were stored there. Raises TrainingError if they can't be written.
    """
    path = folder / f"logits-{embedding.fingerprint()}.npz"
    if path.is_file():
        return load_logits(path, cache.names)
    embed = Embedder(embedding, SHORT_SIDE_PX)
    logits = np.empty((len(cache.names), CLASSES), np.float16)
    for start in range(0, len(logits), PHOTOS_AT_ONCE):
        rows = range(start, min(start + PHOTOS_AT_ONCE, len(logits)))
        embeddings = embed(np.stack([square_lab(cache.photo(row), SHORT_SIDE_PX)[..., 0] for row in rows]))
        logits[start : start + len(rows)] = 2 * np.log(np.maximum(embeddings, LEAST))
        say(f"embedding {embedding.name}: {start + len(rows)} of {len(logits)} photos")
    try:
        with write_beside_then_rename(path) as new:  # a run that is stopped while it writes leaves no incomplete file
            np.savez(new, names=cache.names, logits=logits)
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error}); make room or name another --cache") from None
    return logits
