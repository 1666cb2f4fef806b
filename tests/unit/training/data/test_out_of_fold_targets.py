from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.training.data.class_logits import Logits
from worker.training.data.out_of_fold_targets import OutOfFoldTargets, load_out_of_fold_targets
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import centre_square, to_lab
from worker.training.data.soft_targets import SoftColours
from worker.training.errors import TrainingError
from worker.training.fitting.fusion import FusionBatches, FusionConfig

ORANGE = (30.0, 60.0)  # a*, b*


def all_orange(photos: int) -> OutOfFoldTargets:
    return OutOfFoldTargets(np.full((photos, 4, 4, 2), ORANGE, np.float16), share=1.0)


@pytest.fixture
def logits(cache: PhotoCache) -> Logits:
    return np.zeros((len(cache.names), 1000), np.float16)


def test_with_a_share_of_one_the_targets_are_the_predictions(cache: PhotoCache, logits: Logits) -> None:
    batches = FusionBatches(
        cache, [logits], FusionConfig(side_px=32, batch_size=4), out_of_fold=all_orange(len(cache.names))
    )
    np.testing.assert_allclose(batches(0)[1](0.0) * 128, np.broadcast_to(ORANGE, (4, 32, 32, 2)), atol=0.51)


def test_the_vivid_head_keeps_the_photos_own_colours(cache: PhotoCache, logits: Logits) -> None:
    """So that mixing the paper head's targets makes nothing paler there."""
    config = FusionConfig(side_px=32, batch_size=4, head="both")
    soft = SoftColours(np.full(313, 1 / 313, np.float32))
    mixed = FusionBatches(cache, [logits], config, soft, all_orange(len(cache.names)))(0)[1](0.0)
    own = FusionBatches(cache, [logits], config, soft, OutOfFoldTargets(no_colours(cache), 0.0))(0)[1](0.0)
    np.testing.assert_array_equal(mixed[1], own[1])
    assert np.abs(mixed[0] - own[0]).max() > 0.1


def no_colours(cache: PhotoCache) -> np.ndarray:
    return np.zeros((len(cache.names), 4, 4, 2), np.float16)


def test_predicted_colours_are_cropped_like_their_photo(cache: PhotoCache, logits: Logits) -> None:
    """Given each photo's own colours, in cells, the targets are the crops' own colours but for the cells."""
    cells = [cv2.resize(to_lab(np.ascontiguousarray(centre_square(cache.photo(row)))), (32, 32)) for row in range(40)]
    own_in_cells = np.stack(cells)[..., 1:].astype(np.float16)
    config = FusionConfig(side_px=48, batch_size=8)
    drawn, own = (
        FusionBatches(cache, [logits], config, out_of_fold=OutOfFoldTargets(own_in_cells, share))(0)[1](0.0)
        for share in (1.0, 0.0)
    )
    assert np.corrcoef(np.ravel(drawn), np.ravel(own))[0, 1] > 0.97


def test_the_share_of_predictions_falls_over_the_run(cache: PhotoCache, logits: Logits) -> None:
    config = FusionConfig(side_px=32, batch_size=4)
    orange = replace(all_orange(len(cache.names)), share=0.5, final_share=0.0)
    own = FusionBatches(cache, [logits], config, out_of_fold=replace(orange, share=0.0))(0)[1](0.0)
    _, targets = FusionBatches(cache, [logits], config, out_of_fold=orange)(0)
    shares = [np.mean((targets(progress) - own) / (np.array(ORANGE) / 128 - own)) for progress in (0, 0.5, 1, 1.1)]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0, 0], atol=0.01)


def test_colours_come_in_the_order_of_the_photos(tmp_path: Path) -> None:
    ab = np.arange(16).reshape(2, 2, 2, 2).astype(np.float16)
    np.savez(tmp_path / "expected.npz", names=np.array(["a", "b"]), ab=ab)
    np.testing.assert_array_equal(load_out_of_fold_targets(tmp_path / "expected.npz", ["b", "a"]).ab, ab[::-1])


def test_a_photo_without_predicted_colours_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "expected.npz", names=np.array(["a"]), ab=np.zeros((1, 2, 2, 2)))
    with pytest.raises(TrainingError, match="has no colours for 'c'"):
        load_out_of_fold_targets(tmp_path / "expected.npz", ["c"])
