"""How close a result's colours are to the original's."""

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from worker.colour.lab import lab_to_rgb
from worker.training.evaluation.coherence import hue_spread, smooth_regions

Floats = NDArray[np.float32]


def score(lightness: Floats, truth: Floats, result_ab: Floats) -> dict[str, float]:
    """One photo: L* (side, side), the original's a*, b* and the result's, (side, side, 2), CIE units.

    - `error`: sum of squared differences of a*, b*, for R2;
    - `psnr` (dB) and `ssim` of the sRGB images, 0..1, by scikit-image: data_range 1, 7x7 windows, the channels' mean;
    - `ciede2000`: mean colour difference (Sharma et al. 2005), by scikit-image;
    - `colourfulness` (Hasler and Suesstrunk 2003) of the result, on the 0..255 scale;
    - `hue_spread` (degrees) within smooth regions, NaN where all of them are nearly grey.
    """
    original = np.concatenate([lightness[..., None], truth], axis=-1)
    result = np.concatenate([lightness[..., None], result_ab], axis=-1)
    original_rgb, result_rgb = _as_stored(original), _as_stored(result)
    return {
        "error": float(np.square(truth - result_ab, dtype=np.float64).sum()),
        "psnr": float(peak_signal_noise_ratio(original_rgb, result_rgb, data_range=1.0)),
        "ssim": float(structural_similarity(original_rgb, result_rgb, channel_axis=-1, data_range=1.0)),
        "ciede2000": float(deltaE_ciede2000(original, result).mean()),
        "colourfulness": colourfulness(result_rgb),
        "hue_spread": hue_spread(result_ab, smooth_regions(lightness)),
    }


def own_score(lightness: Floats, ab: Floats) -> dict[str, float]:
    """The scores of `score` that need only the original: L* (side, side) and a*, b* (side, side, 2)."""
    rgb = _as_stored(np.concatenate([lightness[..., None], ab], axis=-1))
    return {"colourfulness": colourfulness(rgb), "hue_spread": hue_spread(ab, smooth_regions(lightness))}


def colourfulness(rgb: Floats) -> float:
    """sRGB (h, w, 3), 0..1 -> 0 to about 150 (Hasler and Suesstrunk, "Measuring colourfulness in natural images")."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64) * 255, -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def interval(values: NDArray[np.float64], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _as_stored(lab: Floats) -> Floats:
    """sRGB 0..1, rounded as an 8-bit file rounds it."""
    return np.asarray(np.round(lab_to_rgb(lab) * 255) / 255, np.float32)
