"""Which outputs a person should look at first. The view review_queue gives the reasons, with the same limits."""

from typing import Protocol

UNCERTAIN_BELOW = 0.3  # certainty; used if the model card has no limit of its own
NEARLY_GREY_BELOW = 15  # colourfulness: what Hasler and Suesstrunk (2003) call "not colourful"
CLIPPED_ABOVE = 0.25  # share of pure black and white, which can have no colour; film borders are not counted
ODD_RATIO = 3  # longer side / shorter side, as of strips and scrolls
ODD_PIXELS = 200  # of the shorter side


class Reviewable(Protocol):
    """What was measured of an output; None for what was not measured."""

    width: int | None
    height: int | None
    picture_width: int | None
    colourfulness: float | None
    certainty: float | None
    doubtful_below: float | None
    clipped_share: float | None


def weight(scan: Reviewable) -> float | None:
    """How doubtful an output is, 0..4: up to 1 for each reason; None if there is no reason to look at it."""
    doubts = []
    if scan.certainty is not None and scan.certainty < uncertain_below(scan.doubtful_below):
        doubts.append(1 - scan.certainty)
    if scan.colourfulness is not None and scan.colourfulness < NEARLY_GREY_BELOW:
        doubts.append(1 - scan.colourfulness / NEARLY_GREY_BELOW)
    if scan.clipped_share is not None and scan.clipped_share > CLIPPED_ABOVE and scan.picture_width is None:
        doubts.append(scan.clipped_share)
    if scan.width is not None and scan.height is not None and _is_odd(scan.width, scan.height):
        doubts.append(0.5)
    return sum(doubts) if doubts else None


def uncertain_below(doubtful_below: float | None) -> float:
    """The certainty below which an output is doubtful: the checkpoint's limit, or UNCERTAIN_BELOW if it has none."""
    return UNCERTAIN_BELOW if doubtful_below is None else doubtful_below


def _is_odd(width: int, height: int) -> bool:
    shorter, longer = sorted((width, height))
    return longer > ODD_RATIO * shorter or shorter < ODD_PIXELS
