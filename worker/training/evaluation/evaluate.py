"""Measures a checkpoint on colour photos, and compares it with the grey and the tint baseline.

Each photo's centre square is scaled to 400x400, turned grey, colourized and compared. PSNR is misleading: on ordinary
photos a grey image has more than 21 dB, and a constant tint 1 dB more. So the figure that counts is R2, the share of
the tint's squared error in a*, b* that the model removes: 0 for the tint, below 0 for grey.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import lab_to_rgb, luminance_to_lightness, srgb_to_linear
from worker.model.colorizer import SIDE_PX
from worker.training.data.class_logits import CLASSES, load_logits, probabilities
from worker.training.data.photos import Census, centre_square, colour_photos, to_lab
from worker.training.errors import TrainingError
from worker.training.evaluation.metrics import interval, own_score, score
from worker.training.views.photo_looks import ORTHOCHROMATIC, grey_of

Floats = NDArray[np.float32]
Scores = dict[str, NDArray[np.float64]]  # by measure, one value a photo

COLUMNS = ("psnr", "ssim", "ciede2000", "colourfulness")
PAPER = {"psnr": 22.8154, "ssim": 0.9097}  # Ibraheem, Danach and Ghandour 2024, on 100 photos of their own


@dataclass(frozen=True)
class Photos:
    """Photos to measure on: `names`, L* (n, 400, 400), a*, b* (n, 400, 400, 2)."""

    names: list[str]
    lightness: Floats
    ab: Floats
    census: Census


def photo_blocks(folder: Path, limit: int | None, size: int) -> Iterator[Photos]:
    """The colour photos of a folder or tar, at most `size` at once. Raises TrainingError if there is none."""
    census = Census()
    names: list[str] = []
    lab: list[Floats] = []
    for number, (name, photo) in enumerate(colour_photos([folder], census), 1):
        square = cv2.resize(np.asarray(centre_square(photo)), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        names.append(name)
        lab.append(to_lab(np.asarray(square, np.uint8)))
        if len(names) == size:
            yield _photos(names, lab, census)
            names, lab = [], []
        if number == limit:
            break
    if names:
        yield _photos(names, lab, census)
    elif not census.kept:
        raise TrainingError(f"{folder} has no colour photo ({census}); give a folder of colour photos")


def load_photos(folder: Path, limit: int | None = None) -> Photos:
    """All of them in one block. Raises TrainingError if there is none."""
    return next(photo_blocks(folder, limit, sys.maxsize))


def _photos(names: list[str], lab: list[Floats], census: Census) -> Photos:
    stacked = np.stack(lab)
    return Photos(names, np.ascontiguousarray(stacked[..., 0]), np.ascontiguousarray(stacked[..., 1:]), census)


def plate_lightness(photos: Photos) -> Floats:
    """L* (n, 400, 400) of the same photos, turned grey as by an orthochromatic plate."""
    squares = zip(photos.lightness, photos.ab, strict=True)
    rgb = [lab_to_rgb(np.concatenate([light[..., None], ab], -1)) for light, ab in squares]
    greys = [grey_of(np.asarray(np.rint(255 * np.clip(one, 0, 1)), np.uint8), ORTHOCHROMATIC) for one in rgb]
    return np.stack([np.asarray(luminance_to_lightness(srgb_to_linear(grey / 255)), np.float32) for grey in greys])


def embeddings_for(source: str, names: Sequence[str], predicted: Floats) -> Floats:
    """The embeddings (n, 1000) of `zeros`, `others` (the own ones of other photos), or an .npz file."""
    if source == "zeros":
        return np.zeros((len(names), CLASSES), np.float32)
    if source == "others":
        return np.roll(predicted, 1, axis=0)
    return np.sqrt(probabilities(load_logits(Path(source), names)))


def baselines(photos: Photos, mean_ab: Sequence[float]) -> dict[str, Scores]:
    """Scores of `grey` and `tint`, and the own scores of the `original`. They are the same for every model."""
    tint = np.broadcast_to(np.asarray(mean_ab, np.float32), photos.ab.shape)
    original = [own_score(light, ab) for light, ab in zip(photos.lightness, photos.ab, strict=True)]
    return {
        "grey": scores_of(photos, np.zeros_like(photos.ab)),
        "tint": scores_of(photos, tint),
        "original": {key: np.array([row[key] for row in original]) for key in original[0]},
    }


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of the photos of several blocks."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def evaluate(model_scores: Scores, certainty: Floats, baseline_scores: dict[str, Scores]) -> dict[str, Any]:
    """Figures of a model beside both baselines, from its scores and its certainty (n,).

    `baseline_scores` come from `baselines`. R2 is relative to their tint, the card's `training_mean_ab`.
    """
    scores = {"model": model_scores, **baseline_scores}
    variance = float(baseline_scores["tint"]["error"].sum())
    figures: dict[str, Any] = {"photos": len(certainty), "paper": PAPER}
    for name in ("model", "grey", "tint"):
        figures[name] = summary(scores[name], scores["original"], variance)
    figures["original"] = {"colourfulness_ratio": 1.0, "hue_spread": _mean(scores["original"]["hue_spread"])}
    best = np.maximum(scores["grey"]["psnr"], scores["tint"]["psnr"])
    errors = scores["model"]["error"].sum() / scores["grey"]["error"].sum()
    figures["model"]["gain"] = round(1 - float(errors), 4)  # the share of grey's squared error that is removed
    figures["model"]["wins"] = round(float((scores["model"]["psnr"] > best).mean()), 4)
    means = max(figures["grey"]["psnr"], figures["tint"]["psnr"])
    figures["model"]["psnr_above_baselines"] = round(figures["model"]["psnr"] - means, 3)
    figures["model"]["certainty"] = None if np.isnan(certainty).all() else round(float(np.nanmean(certainty)), 4)
    figures["per_photo"] = {
        name: {key: [None if np.isnan(one) else float(one) for one in values] for key, values in of_photos.items()}
        for name, of_photos in scores.items()
    }
    return figures


def summary(scores: Scores, original: Scores, variance: float) -> dict[str, Any]:
    """R2 over all photos, means with 95 % bootstrap intervals, median ratio of colourfulness to the original's."""
    figures: dict[str, Any] = {"r2": round(1 - float(scores["error"].sum()) / variance, 4)}
    for column in COLUMNS:
        figures[column] = round(float(scores[column].mean()), 4)
        figures[f"{column}_95"] = [round(bound, 4) for bound in interval(scores[column])]
    ratio = scores["colourfulness"] / np.maximum(original["colourfulness"], 1e-6)
    figures["colourfulness_ratio"] = round(float(np.median(ratio)), 4)
    figures["hue_spread"] = _mean(scores["hue_spread"])
    return figures


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of the photos that have a value; None if no photo has one."""
    return None if np.isnan(values).all() else round(float(np.nanmean(values)), 2)


# For each measure: the heading of its column, and its digits after the point.
HEADINGS = {
    "r2": ("R2 of a, b", 3), "gain": ("G, of grey's", 3), "psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 3),
    "ciede2000": ("CIEDE2000", 2), "colourfulness_ratio": ("colourful", 2), "wins": ("wins", 3),
    "hue_spread": ("hue, degrees", 1),
}  # fmt: skip
NAME_WIDTH = 56


def heading() -> str:
    """The heading above the rows of `line`."""
    return f"{'':{NAME_WIDTH}}" + "".join(f"{words:>14}" for words, _ in HEADINGS.values())


def line(name: str, figures: Mapping[str, Any]) -> str:
    """A row of the table. Measures that are not in the figures are left blank."""
    cells = [
        f"{figures[key]:14.{digits}f}" if figures.get(key) is not None else f"{'':14}"
        for key, (_, digits) in HEADINGS.items()
    ]
    return f"{name:{NAME_WIDTH}}" + "".join(cells)


def scores_of(photos: Photos, result: Floats) -> Scores:
    """The measures of a model's a*, b* (n, 400, 400, 2), one value a photo."""
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(score, photos.lightness, photos.ab, result))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}
