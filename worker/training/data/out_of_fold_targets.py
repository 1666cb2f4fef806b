"""Out-of-fold targets: what a model predicts for photos on which it was not fitted.

They are mixed into the paper head's targets.

A photo's own colours are one of many possibilities that its grey allows. A network that is trained on few photos learns
them by heart, because it recognizes each photo by its embedding. It can't learn by heart what a model predicts that was
fitted on other photos, and predicted colours are smoother, so they are easier to learn. This is distillation (Hinton,
Vinyals and Dean, arXiv:1503.02531) with targets from outside each photo's own fold.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.training.errors import TrainingError

SHARE = 0.7  # share of the predictions in the target; the rest are the photo's own colours, which have sharp edges


@dataclass(frozen=True)
class OutOfFoldTargets:
    """a*, b* of photos' centre squares, in cells: (n, cells, cells, 2), CIE units."""

    ab: NDArray[np.float16]
    share: float = SHARE

    def mixed_with(self, own_ab: Any, out_of_fold_ab: Any) -> Any:
        """The mixture of crops' own colours and predicted ones, tensors or arrays of one shape."""
        return (1 - self.share) * own_ab + self.share * out_of_fold_ab


def load_out_of_fold_targets(path: Path, names: Iterable[str], share: float = SHARE) -> OutOfFoldTargets:
    """The predicted colours of these photos, from an .npz file with `names` and `ab` (n, cells, cells, 2).

    Raises TrainingError for a file that can't be read or lacks a photo.
    """
    try:
        with np.load(path) as file:
            rows = {str(name): row for row, name in enumerate(file["names"])}
            return OutOfFoldTargets(np.asarray(file["ab"][[rows[str(name)] for name in names]], np.float16), share)
    except KeyError as error:
        raise TrainingError(f"{path} has no colours for {error}; expected names and ab, a row for each photo") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} can't be read ({error}); expected an .npz of names and ab") from None
