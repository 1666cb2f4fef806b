import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from tests.unit.training.conftest import write_photo
from worker.model.checkpoint import bundled_checkpoint_path
from worker.model.colorizer import Colorizer
from worker.training.commands.evaluate import card_figures
from worker.training.errors import TrainingError
from worker.training.evaluation import evaluate as measuring
from worker.training.evaluation.contact_sheet import LABEL_PX, contact_sheet

MEAN = (1.6, 7.7)


@pytest.fixture
def few(photo_folder: Path) -> measuring.Photos:
    return measuring.load_photos(photo_folder, limit=4)


def measure(few: measuring.Photos, ab: tuple[float, float]) -> dict[str, Any]:
    """The figures of one colour everywhere."""
    result = np.broadcast_to(np.asarray(ab, np.float32), few.ab.shape)
    return measuring.evaluate(
        measuring.scores_of(few, result), np.full(4, np.nan, np.float32), measuring.baselines(few, MEAN)
    )


def test_the_tint_explains_nothing_and_grey_less(few: measuring.Photos) -> None:
    figures = measure(few, MEAN)
    assert figures["model"]["r2"] == pytest.approx(0, abs=1e-4)
    assert figures["tint"]["r2"] == pytest.approx(0, abs=1e-4)
    assert figures["grey"]["colourfulness_ratio"] == pytest.approx(0, abs=0.05)
    assert figures["model"]["wins"] == 0


def test_figures_are_json_and_the_card_gets_no_single_photos(few: measuring.Photos) -> None:
    figures = measure(few, (0, 0))
    json.dumps(figures, allow_nan=False)
    assert "per_photo" not in json.dumps(card_figures({"paper head, own": figures}))
    assert measuring.line("embedding: own", figures["model"]).startswith("embedding: own ")
    assert "R2 of a, b" in measuring.heading()


def test_others_embeddings_are_never_a_photos_own(few: measuring.Photos) -> None:
    own = np.repeat(np.arange(4, dtype=np.float32)[:, None], 1000, axis=1)
    others = measuring.embeddings_for("others", few.names, own)
    assert sorted(own[:, 0]) == sorted(others[:, 0])
    assert (own[:, 0] != others[:, 0]).all()


def test_blocks_hold_every_photo_once(photo_folder: Path) -> None:
    whole = measuring.load_photos(photo_folder, 5)
    blocks = list(measuring.photo_blocks(photo_folder, 5, 2))
    assert [len(block.names) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([block.ab for block in blocks]), whole.ab)
    assert len(list(measuring.photo_blocks(photo_folder, 4, 2))) == 2


def test_a_folder_without_colour_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no colour photo"):
        measuring.load_photos(tmp_path)


def test_a_contact_sheet_shows_grey_result_and_original(few: measuring.Photos, tmp_path: Path) -> None:
    contact_sheet(tmp_path / "sheet.png", few.lightness, [few.ab, few.ab], columns=2, side_px=50)
    contact_sheet(
        tmp_path / "named.png", few.lightness, [few.ab, few.ab], columns=2, side_px=50, labels=["grey", "one", "two"]
    )
    sheet = np.asarray(cv2.imread(str(tmp_path / "sheet.png")))
    assert sheet.shape == (2 * 58, 2 * (3 * 50 + 8), 3)
    named = np.asarray(cv2.imread(str(tmp_path / "named.png")))
    assert named.shape == (2 * 58 + LABEL_PX, sheet.shape[1], 3)
    assert named[:LABEL_PX].min() < 100  # something is written there


def test_the_bundled_checkpoint_beats_the_tint_on_real_photos(tmp_path: Path) -> None:
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        write_photo(tmp_path / f"{name}.png", getattr(skimage.data, name)())
    photos = measuring.load_photos(tmp_path)
    bundled = Colorizer.load(bundled_checkpoint_path(), 4)
    ab, certainty = bundled.predict(photos.lightness)
    scores = measuring.baselines(photos, bundled.card.training_mean_ab)
    figures = measuring.evaluate(measuring.scores_of(photos, ab), certainty, scores)
    assert (figures["photos"], figures["tint"]["r2"]) == (4, 0)
    assert figures["model"]["r2"] > 0.1, figures["model"]
