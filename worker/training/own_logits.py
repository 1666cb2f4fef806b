"""What embeddings say of the training photos: computed once for each embedding, and kept beside the photos."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from worker.model.embedding import Embedding
from worker.model.lab import centre_square
from worker.training.classifiers import Logits, load_logits
from worker.training.dataset import SHORT_SIDE_PX, PhotoCache
from worker.training.errors import TrainingError
from worker.training.photos import to_lab

BATCH = 32
LEAST = 1e-6  # of a probability's square root, so that its logarithm is a number


def own_logits(cache: PhotoCache, embedding: Embedding, folder: Path, say: Callable[[str], None]) -> Logits:
    """Class logits (n, 1000) of the cache's photos turned grey, up to a constant; from `folder` if they are there.

    Raises TrainingError if they can't be written.
    """
    path = folder / f"logits-{embedding.fingerprint}.npz"
    if path.is_file():
        return load_logits(path, cache.names)
    layers = [(tf.constant(kernel), tf.constant(bias)) for kernel, bias in embedding.layers]
    ready = Embedding(embedding.name, embedding.architecture, layers, embedding.side_px, embedding.temperature)
    embed = tf.function(
        ready.__call__, input_signature=[tf.TensorSpec([BATCH, SHORT_SIDE_PX, SHORT_SIDE_PX, 1], tf.float32)]
    )
    logits = np.empty((len(cache.names), 1000), np.float16)
    for start in range(0, len(logits), BATCH):
        rows = np.arange(start, min(start + BATCH, len(logits)))
        lightness = np.zeros((BATCH, SHORT_SIDE_PX, SHORT_SIDE_PX, 1), np.float32)
        for place, row in enumerate(rows):
            square = cv2.resize(np.asarray(centre_square(cache.photo(int(row)))), (SHORT_SIDE_PX, SHORT_SIDE_PX))
            lightness[place] = to_lab(np.asarray(square, np.uint8))[..., :1]
        given = embed(tf.constant(lightness)).numpy()[: len(rows)]
        logits[rows] = 2 * np.log(np.maximum(given, LEAST))
        if start % (50 * BATCH) == 0:
            say(f"embedding {embedding.name}: {start} of {len(logits)} photos")
    try:
        np.savez(path, names=cache.names, logits=logits)
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error}); make room or name another --cache") from None
    return logits
