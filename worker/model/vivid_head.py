"""Turns the vivid head's 313 logits into a colour for each place, and the certainty of a scan."""

import math
from typing import Any

from keras import ops

from worker.model.ab_bins import AB_BIN_CENTRES

Tensor = Any

ANNEALING_TEMPERATURE = 0.38  # Zhang et al. 2016, section 2.3: between the mean (1) and the mode (0)


def annealed_mean(logits: Tensor, temperature: float = ANNEALING_TEMPERATURE) -> Tensor:
    """Bin logits (batch, h, w, 313) -> a*, b* (batch, h, w, 2), CIE units.

    f_T(z) = exp(log(z) / T) / sum(exp(log(z) / T)), then the mean over the bins (Zhang et al. 2016, eq. 5).
    """
    sharpened = ops.softmax(logits / temperature, axis=-1)
    return ops.matmul(sharpened, ops.convert_to_tensor(AB_BIN_CENTRES))


def certainty(logits: Tensor) -> Tensor:
    """Bin logits (batch, h, w, 313) -> (batch,), 0..1: 1 - entropy / log 313, the mean over all places.

    0: all colours are equally likely at every place; 1: one bin at each place.
    """
    log_probabilities = ops.log_softmax(logits, axis=-1)
    entropy = -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)  # (batch, h, w)
    return 1.0 - ops.mean(entropy, axis=(1, 2)) / math.log(len(AB_BIN_CENTRES))
