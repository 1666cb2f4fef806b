"""Figures in words, for people who read what a command prints."""

from collections.abc import Mapping

FIGURES_IN_WORDS = {
    "r2": "R2",
    "gain": "G",
    "r2_mean": "R2 of the photos' mean colours",
    "gain_mean": "G of the photos' mean colours",
    "r2_varies": "R2 of what varies around the mean",
    "gain_varies": "G of what varies around the mean",
    "r2_zeros": "R2 without an embedding",
    "vivid_r2": "R2 of the vivid head",
    "aged": "R2 of photos turned old",
    "psnr_above_grey": "dB above grey",
    "spread": "spread of colours within a photo",
    "true_spread": "the originals' spread",
    "hue_spread": "spread of hue in degrees",
    "true_hue_spread": "the originals' spread of hue in degrees",
    "cross_entropy": "cross-entropy in nats",
    "in_first_five": "share of first guesses that are among the teacher's first five",
}


def figures_in_words(figures: Mapping[str, float]) -> str:
    """Each figure behind its name. A name that is not known is that of a source; the figure is its R2."""
    return ", ".join(f"{_name(key)} {figure:.3f}" for key, figure in figures.items())


def entry_in_words(entry: Mapping[str, float]) -> str:
    """An entry of a history as a line: step and minutes, then each figure behind its name."""
    begin = f"step {entry['step']:.0f}, {entry['minutes']:.1f} minutes, loss {entry['loss']:.4f}"
    figures = {key: figure for key, figure in entry.items() if key not in ("step", "minutes", "loss")}
    return f"{begin}, {figures_in_words(figures)}" if figures else begin


def _name(key: str) -> str:
    number = key.removeprefix("r2_")
    return f"R2 with embedding {number}" if number.isdigit() else FIGURES_IN_WORDS.get(key, f"R2 of {key}")
