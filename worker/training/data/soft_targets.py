"""The targets of the vivid head: the soft code of each place's colour, weighted so that rare colours count more."""

from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.model.ab_bins import AB_BIN_CENTRES, SOFT_NEIGHBOURS, class_weights, soft_encode
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import to_lab

Floats = NDArray[np.float32]

REACH = 128  # the table has all whole numbers a* and b* from -128 to 127
PLACE_PX = 4  # the head answers once for each 4x4 px
# How much of the rebalancing is taken back after training. With all of it left in, colours are stronger than the
# original's and further from it than a tint. With all of it taken back, they are as pale as the paper head's. Chosen on
# validation photos.
TAKEN_BACK = 0.3
PRIOR_PX = 32  # for the prior, each photo is reduced to this side


class _Table:
    """The soft code of every whole a*, b*: its ten bins and their shares.

    Computing them each time would take too long.
    """

    def __init__(self) -> None:
        axis = np.arange(-REACH, REACH, dtype=np.float32)
        code = soft_encode(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
        order = np.argsort(-code, axis=1)[:, :SOFT_NEIGHBOURS]
        self.bins = order  # (65536, 10), the nearest first
        self.shares = np.take_along_axis(code, order, axis=1)

    def rows(self, ab: Floats) -> NDArray[np.intp]:
        """a*, b* (n, 2), CIE units -> rows of the table."""
        whole = np.clip(np.rint(ab), -REACH, REACH - 1).astype(np.intp) + REACH
        return np.asarray(whole[:, 0] * 2 * REACH + whole[:, 1], np.intp)


class SoftColours:
    """Colours -> soft codes, each x the class weight of its nearest bin (Zhang et al. 2016, eq. 2 and 3)."""

    def __init__(self, prior: Floats) -> None:
        self.prior = prior
        table = _Table()
        codes = np.zeros((len(table.bins), len(AB_BIN_CENTRES)), np.float32)
        np.put_along_axis(codes, table.bins, table.shares * class_weights(prior)[table.bins[:, :1]], axis=1)
        self._codes = ops.convert_to_tensor(codes)  # 82 MB, on the device

    def __call__(self, ab: Any) -> Any:
        """a*, b* (batch, side, side, 2), CIE units -> (batch, side / 4, side / 4, 313), on the device."""
        places = ops.average_pool(ab, PLACE_PX, strides=PLACE_PX)
        whole = ops.cast(ops.clip(ops.round(places), -REACH, REACH - 1), "int32") + REACH
        return ops.take(self._codes, whole[..., 0] * 2 * REACH + whole[..., 1], axis=0)


def bin_prior(cache: PhotoCache) -> Floats:
    """The share of each bin in the training photos (313,), 1 in sum."""
    size = (PRIOR_PX, PRIOR_PX)
    small = [cv2.resize(cache.photo(int(row)), size, interpolation=cv2.INTER_AREA) for row in cache.training]
    return place_prior(np.stack([to_lab(np.asarray(one, np.uint8))[..., 1:] for one in small]))


def place_prior(ab: Floats) -> Floats:
    """The share of each bin (313,), 1 in sum, in a*, b* (..., 2), CIE units."""
    table = _Table()
    rows = table.rows(np.asarray(ab, np.float32).reshape(-1, 2))
    counts = np.zeros(len(AB_BIN_CENTRES), np.float64)
    np.add.at(counts, table.bins[rows], table.shares[rows])
    return np.asarray(counts / counts.sum(), np.float32)


def take_back_rebalancing(model: keras.Model, prior: Floats, share: float = TAKEN_BACK) -> None:
    """Changes a trained vivid head as if rare bins had counted less: logits - share x log(class weight)."""
    bias = model.get_layer("head_vivid").bias
    bias.assign(np.asarray(bias) - np.float32(share) * np.log(class_weights(prior)))
