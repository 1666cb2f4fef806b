"""Which outputs a person should look at first. The view review_queue says why, by the same limits."""

from typing import Protocol

UNCERTAIN_BELOW = 0.3  # certainty: where the checkpoint's card does not say what is doubtful
NEARLY_GREY_BELOW = 15  # colourfulness: what Hasler and Suesstrunk (2003) call "not colourful"
CLIPPED_ABOVE = 0.25  # share of pure black and white, where no colour can be; film borders are black by nature
ODD_RATIO = 3  # of the sides: strips and scrolls
ODD_PIXELS = 200  # of the shorter side


class Reviewable(Protocol):
    """What is known of an output; None where nothing is."""

    width: int | None
    height: int | None
    picture_width: int | None
    colourfulness: float | None
    certainty: float | None
    doubtful_below: float | None
    clipped_share: float | None


def weight(scan: Reviewable) -> float | None:
    """How much there is to doubt, 0..4: up to 1 for each reason; None when there is no reason to look."""
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
    """The certainty below which an output is doubtful, of one whose checkpoint says this, or nothing."""
    return UNCERTAIN_BELOW if doubtful_below is None else doubtful_below


def _is_odd(width: int, height: int) -> bool:
    shorter, longer = sorted((width, height))
    return longer > ODD_RATIO * shorter or shorter < ODD_PIXELS
