"""Classifiers' logits for the training photos, with random variations, so that a decoder does not depend on one
classifier.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.model.network import EMBEDDING_CLASSES
from worker.training.errors import TrainingError

Floats = NDArray[np.float32]
Logits = NDArray[np.float16]

CLASSES = EMBEDDING_CLASSES
UNKNOWN_SHARE = 0.08  # share of crops with zeros, so that a decoder also works without an embedding
ONE_ALONE_SHARE = 0.4  # share of crops with one classifier; the others get a blend of all
TEMPERATURES = (0.6, 2.0)  # log-uniform
LOGIT_NOISE = 0.5  # standard deviation, for half of the crops


def load_logits(path: Path, names: Iterable[str]) -> Logits:
    """Class logits (n, 1000) of these photos, from an .npz file with `names` and `logits`.

    Raises TrainingError for a file that can't be read or lacks a photo.
    """
    try:
        with np.load(path) as file:
            rows = {str(name): row for row, name in enumerate(file["names"])}
            return np.asarray(file["logits"][[rows[str(name)] for name in names]], np.float16)
    except KeyError as error:
        raise TrainingError(f"{path} has no logits for {error}; expected one row for each photo") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} can't be read ({error}); expected an .npz of names and logits") from None


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Softmax of logits (..., 1000) / temperature -> (..., 1000), 0..1, 1 in sum."""
    scaled = np.asarray(logits, np.float32) / np.float32(temperature)
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def varied(sources: Sequence[Logits], row: int, rng: np.random.Generator) -> Floats:
    """The embedding (1000,) that a crop of photo `row` is trained with: square roots of probabilities, or zeros.

    They come from one classifier or a blend of all, each with a random temperature and noise.
    """
    if rng.random() < UNKNOWN_SHARE:
        return np.zeros(CLASSES, np.float32)
    opinions = [_opinion(logits[row], rng) for logits in sources]
    if rng.random() < ONE_ALONE_SHARE:
        return np.sqrt(opinions[rng.integers(len(opinions))])
    shares = rng.dirichlet(np.ones(len(opinions)))
    blend = sum(share * opinion for share, opinion in zip(shares, opinions, strict=True))
    return np.sqrt(np.asarray(blend, np.float32))


def _opinion(logits: Logits, rng: np.random.Generator) -> Floats:
    noise = LOGIT_NOISE * rng.normal(size=CLASSES) if rng.random() < 0.5 else 0.0
    low, high = np.log(TEMPERATURES)
    return probabilities(logits.astype(np.float32) + noise, float(np.exp(rng.uniform(low, high))))
