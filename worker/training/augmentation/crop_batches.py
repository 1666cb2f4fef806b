"""Batches of crops, made on the training device: what the network sees of photos, and the colours that it learns."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.colour import lab_tensors
from worker.model.network import AB_SCALE
from worker.training.augmentation.compiled import compiled
from worker.training.augmentation.draws import LETTERBOXED_SHARE, Zoom, draw_looks, draw_placements, draw_tones
from worker.training.augmentation.looks import old_lightness
from worker.training.augmentation.photo_store import PhotoStore
from worker.training.augmentation.placement import crops, crops_of_cells
from worker.training.augmentation.textures import dust_textures, grain_textures
from worker.training.data.photo_cache import PhotoCache


class Crops(NamedTuple):
    """Tensors on the device."""

    lightness: Any  # L* / 50 - 1 (batch, side, side, 1)
    ab: Any  # the crops' own a, b / 128 (batch, side, side, 2)
    out_of_fold_ab: Any  # predicted a, b / 128 (batch, side, side, 2), or None


class CropBatches:
    """Makes crops of the cache's photos. The first `looks` of a batch are made to look old."""

    def __init__(
        self, cache: PhotoCache, side_px: int, zoom: Zoom, looks: float = 0.0,
        cells: NDArray[np.floating[Any]] | None = None, on_device: bool | None = None,
    ) -> None:  # fmt: skip
        """`looks`: share of the crops. `cells` (photos, k, k, 2): a*, b* that were predicted for photos' centre
        squares; with them, crops lie inside these squares.
        """
        self._store = PhotoStore(cache, on_device)
        self._side_px, self._zoom, self._looks, self._cells = side_px, zoom, looks, cells
        self._textures = [ops.convert_to_tensor(one) for one in (grain_textures(), dust_textures())] if looks else []
        self._make = compiled(self._made)

    def __call__(self, rows: NDArray[np.intp], rng: np.random.Generator) -> Crops:
        """Crops of these photos, by random numbers of `rng` alone."""
        # A whole number of crops, whose mean is this share, so that few shapes are compiled.
        old = int(self._looks * len(rows) + rng.random())
        letterboxed = (np.arange(len(rows)) < old) & (rng.random(len(rows)) < LETTERBOXED_SHARE)
        place = draw_placements(self._boxes(rows), self._side_px, self._zoom, letterboxed, rng)
        look = draw_looks(old, rng) if old else {}
        tones = draw_tones(len(rows) - old, rng)
        cells = None if self._cells is None else np.asarray(self._cells[rows], np.float32)
        levels = np.asarray(place["level"], np.int32)
        return Crops(*self._make(self._store.rows(rows, levels), self._store.shapes[rows], place, tones, look, cells))

    def _boxes(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Left, top, width and height (n, 4) of the part of each photo that is used, px."""
        sizes = self._store.shapes[rows][:, ::-1].astype(np.int64)
        if self._cells is None:
            return np.concatenate([np.zeros_like(sizes), sizes], axis=1)
        short = np.repeat(sizes.min(1, keepdims=True), 2, axis=1)
        return np.concatenate([(sizes - short) // 2, short], axis=1)

    def _made(
        self, pixels: Any, shapes: Any, place: dict[str, Any], tones: Any, look: dict[str, Any], cells: Any
    ) -> tuple[Any, Any, Any]:
        place = {name: ops.convert_to_tensor(value) for name, value in place.items()}
        light = lab_tensors.srgb_to_linear(
            crops(ops.convert_to_tensor(pixels), ops.convert_to_tensor(shapes), place, self._side_px) / 255
        )
        lightness, ab = lab_tensors.linear_to_lab(light)
        old = 0
        if look:
            look = {name: ops.convert_to_tensor(value) for name, value in look.items()}
            old = look["gamma"].shape[0]
        lightness = 100 * ops.power(
            ops.clip(lightness[old:] / 100, 1e-6, 1.0), ops.convert_to_tensor(tones)[:, None, None]
        )
        if old:
            lightness = ops.concatenate([old_lightness(light[:old], look, *self._textures), lightness])
        out_of_fold_ab = None
        if cells is not None:
            out_of_fold_ab = crops_of_cells(ops.convert_to_tensor(cells), place, self._side_px) / AB_SCALE
        return lightness[..., None] / 50 - 1, ab / AB_SCALE, out_of_fold_ab
