"""Which outputs a person should look at first. The view review_queue says why, by the same limits."""

from typing import Protocol

UNCERTAIN_BELOW = 0.3  # certainty: the head itself is in doubt
NEARLY_GREY_BELOW = 15  # colourfulness: what Hasler and Suesstrunk (2003) call "not colourful"
CLIPPED_ABOVE = 0.25  # share of pure black and white, where no colour can be; film borders are black by nature
ODD_RATIO = 3  # of the sides: strips and scrolls
ODD_PIXELS = 200  # of the shorter side


class Measured(Protocol):
    """What is known of an output; None where nothing is."""

    width: int | None
    height: int | None
    picture_width: int | None
    colourfulness: float | None
    certainty: float | None
    clipped_share: float | None


def weight(of: Measured) -> float | None:
    """How much there is to doubt, 0..4: up to 1 for each reason; None when there is no reason to look."""
    doubts = []
    if of.certainty is not None and of.certainty < UNCERTAIN_BELOW:
        doubts.append(1 - of.certainty)
    if of.colourfulness is not None and of.colourfulness < NEARLY_GREY_BELOW:
        doubts.append(1 - of.colourfulness / NEARLY_GREY_BELOW)
    if of.clipped_share is not None and of.clipped_share > CLIPPED_ABOVE and of.picture_width is None:
        doubts.append(of.clipped_share)
    if of.width is not None and of.height is not None and _is_odd(of.width, of.height):
        doubts.append(0.5)
    return sum(doubts) if doubts else None


def _is_odd(width: int, height: int) -> bool:
    shorter, longer = sorted((width, height))
    return longer > ODD_RATIO * shorter or shorter < ODD_PIXELS
