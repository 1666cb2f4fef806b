"""Out-of-fold targets: what a model predicts for photos on which it was not fitted.

They are mixed into the paper head's targets, at first with a large share, at the end of a run with none.

A photo's own colours are one of many possibilities that its grey allows. A network that is trained on few photos learns
them by heart, because it recognizes each photo by its embedding. It can't learn by heart what a model predicts that was
fitted on other photos, and predicted colours are smoother, so they are easier to learn. This is distillation (Hinton,
Vinyals and Dean, arXiv:1503.02531) with targets from outside each photo's own fold. But predicted colours are also
paler than true ones. So their share falls, and the last steps train on the photos' own colours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.training.errors import TrainingError

SHARE = 0.5  # share of the predictions in the first targets; the rest are the photo's own colours
FINAL_SHARE = 0.0


@dataclass(frozen=True)
class OutOfFoldTargets:
    """a*, b* predicted for photos, in cells: (n, cells, cells, 2), CIE units; and their shares in the targets.

    The cells cover a photo's centre square in `train`, and a whole view in a recipe's stage `map`.
    """

    ab: NDArray[np.float16]
    share: float = SHARE  # at the start of a run
    final_share: float = FINAL_SHARE

    def mixture(self, own_ab: Any, out_of_fold_ab: Any, progress: float) -> Any:
        """Crops' own colours and predicted ones, mixed as it is due at this progress of a run, 0..1.

        Both are tensors or arrays of one shape. The share of predicted ones changes linearly.
        """
        share = self.share + (self.final_share - self.share) * min(progress, 1.0)
        return (1 - share) * own_ab + share * out_of_fold_ab


def load_out_of_fold_targets(
    path: Path, names: Iterable[str], share: float = SHARE, final_share: float = FINAL_SHARE
) -> OutOfFoldTargets:
    """The predicted colours of these photos, from an .npz file with `names` and `ab` (n, cells, cells, 2).

    Raises TrainingError for a file that can't be read or lacks a photo.
    """
    try:
        with np.load(path) as file:
            rows = {str(name): row for row, name in enumerate(file["names"])}
            ab = np.asarray(file["ab"][[rows[str(name)] for name in names]], np.float16)
    except KeyError as error:
        raise TrainingError(f"{path} has no colours for {error}; expected names and ab, a row for each photo") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} can't be read ({error}); expected an .npz of names and ab") from None
    return OutOfFoldTargets(ab, share, final_share)
