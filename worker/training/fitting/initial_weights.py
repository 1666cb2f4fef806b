"""Initial weights of the paper head: the least-squares prediction from the embedding alone.

An embedding tells much about a photo's mean colour. A ridge regression finds this in seconds; gradient descent takes
ten thousand crops. Two channels carry the regression's answer from the fusion through the decoder to the head. All
other weights are random, but the head ignores their output at first. So the network begins with the regression, and
learns the rest.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.network import AB_SCALE, EMBEDDING_SCALE, HEAD_INPUT_SCALE, TRAINING_MEAN_AB
from worker.training.data.class_logits import Logits, probabilities
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import to_lab

Floats = NDArray[np.float32]

RIDGE = 5.0  # slightly the best of 1, 3, 10, 30 on the validation photos
LEVEL = 3.0  # the carrying channels are so many standard deviations above 0, where ReLU changes nothing
CARRIERS = 2
FIRST_ANSWERS = 0.1  # factor for the vivid head's random weights, so that its first answers are near the prior
DECODER = ("decoder_1", "decoder_2", "decoder_3", "decoder_4")


def start_at_least_squares(model: keras.Model, cache: PhotoCache, sources: Sequence[Logits]) -> None:
    """Sets an untrained `build_network("paper")` to the ridge regression of the training photos' mean colours."""
    rows = cache.training
    colours = np.tile(mean_colours(cache, rows), (len(sources), 1))
    embeddings = np.concatenate([np.sqrt(probabilities(logits[rows])) for logits in sources])
    kernel, spread = ridge(embeddings, colours)
    _set_fusion(model, kernel / spread, embeddings)
    for name in DECODER:
        _carry(model, name)
    _set_head(model, spread)


def start_at_prior(model: keras.Model, prior: Floats) -> None:
    """Sets the vivid head to give at every place the frequency of each bin in the training photos (313,)."""
    layer = model.get_layer("head_vivid")
    kernel = np.asarray(layer.kernel) * FIRST_ANSWERS
    layer.kernel.assign(kernel)
    layer.bias.assign(np.log(prior + np.float32(1e-6)))


def mean_colours(cache: PhotoCache, rows: NDArray[np.intp]) -> Floats:
    """Mean a*, b* of each photo (n, 2), CIE units."""
    return np.stack([to_lab(cache.photo(int(row))[::4, ::4])[..., 1:].mean((0, 1)) for row in rows])


def ridge(embeddings: Floats, colours: Floats) -> tuple[Floats, Floats]:
    """-> the regression's kernel (1000, 2) and the standard deviation of its answers (2,), CIE units."""
    centred = embeddings - embeddings.mean(axis=0)
    gram = centred.T @ centred + RIDGE * np.eye(centred.shape[1], dtype=np.float32)
    kernel = np.linalg.solve(gram, centred.T @ (colours - colours.mean(axis=0)))
    return np.asarray(kernel, np.float32), np.asarray((centred @ kernel).std(axis=0), np.float32)


def _set_fusion(model: keras.Model, kernel: Floats, embeddings: Floats) -> None:
    places, scan = model.get_layer("fusion_encoder"), model.get_layer("fusion_embedding")
    of_places, of_scan = np.asarray(places.kernel), np.asarray(scan.kernel)
    of_places, of_scan = of_places.copy(), of_scan.copy()
    of_places[..., :CARRIERS] = 0
    of_scan[:, :CARRIERS] = kernel / EMBEDDING_SCALE
    places.kernel.assign(of_places)
    scan.kernel.assign(of_scan)
    _set_norm(model.get_layer("fusion_norm"), (embeddings @ kernel).mean(axis=0), np.ones(CARRIERS, np.float32))


def _carry(model: keras.Model, name: str) -> None:
    """Lets the two channels pass this convolution unchanged: their kernels are 1 in the middle and 0 elsewhere."""
    layer = model.get_layer(name)
    kernel = np.asarray(layer.kernel).copy()
    kernel[..., :CARRIERS] = 0
    for carrier in range(CARRIERS):
        kernel[1, 1, carrier, carrier] = 1
    layer.kernel.assign(kernel)
    _set_norm(model.get_layer(f"{name}_norm"), np.full(CARRIERS, LEVEL), np.ones(CARRIERS))


def _set_head(model: keras.Model, spread: Floats) -> None:
    """Sets the head to read only the two channels: mean + spread x (channel - LEVEL)."""
    layer = model.get_layer("head_paper")
    kernel = np.zeros(layer.kernel.shape, np.float32)
    bias = np.array([math.atanh(mean / AB_SCALE) for mean in TRAINING_MEAN_AB])
    for carrier in range(CARRIERS):
        kernel[1, 1, carrier, carrier] = spread[carrier] / AB_SCALE / HEAD_INPUT_SCALE
        bias[carrier] -= LEVEL * spread[carrier] / AB_SCALE
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)


def _set_norm(
    norm: keras.layers.BatchNormalization, mean: NDArray[np.floating], variance: NDArray[np.floating]
) -> None:
    beta, means, variances = (np.asarray(v).copy() for v in (norm.beta, norm.moving_mean, norm.moving_variance))
    beta[:CARRIERS], means[:CARRIERS], variances[:CARRIERS] = LEVEL, mean, variance
    norm.beta.assign(beta)
    norm.moving_mean.assign(means)
    norm.moving_variance.assign(variances)
