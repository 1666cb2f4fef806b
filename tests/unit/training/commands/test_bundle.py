"""The recipe of the bundled checkpoint, on a few small photos and an untrained feature network."""

import csv
import tarfile
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.model.feature_layers import untrained_feature_layers
from worker.model import checkpoint, weights
from worker.model.classifiers.features import FINE_LAYERS, LAYERS, load_features
from worker.model.colorizer import Colorizer
from worker.training.commands.bundle import bundle
from worker.training.errors import TrainingError
from worker.training.views import prepared

RECIPE = """
name = "tiny"
photos = ["few"]
sources = "sources.csv"
start_from = "first"
views = [0, 2]
input_px = 64
[map]
batch_size = 2
steps = 2
validate_every_steps = 2
view_shares = [0.5, 0.5]
[join]
side_px = 64
batch_size = 2
steps = 1
validate_every_steps = 1
decoder_share = 0.25
view_shares = [0.5, 0.5]
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Arguments of the command for six photos of two sources, one of them held out."""
    monkeypatch.setattr(prepared, "read_lite2", lambda _: untrained_feature_layers(with_classifier=True))
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "few.tar", "w") as tar:
        for name in [f"{source}/{number}.png" for source in ("osie700", "olympus") for number in range(3)]:
            photo = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (96, 80), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "photo.png"), photo)
            tar.add(tmp_path / "photo.png", name)
    with (tmp_path / "sources.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["folder", "shows", "from", "licence as far as stated"], ["osie700", "x", "y", "z"]]
        )
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return Namespace(
        recipe=tmp_path / "recipe.toml", photos=tmp_path, lite2=tmp_path, work=tmp_path / "work", until="checkpoint"
    )


def test_one_command_makes_a_checkpoint_and_its_card_names_every_source(given: Namespace) -> None:
    bundle(given)
    card = checkpoint.verify(given.work / "checkpoint")
    assert card.training["data"] == [{"source": "osie700", "shows": "x", "from": "y", "licence": "z", "photos": 3}]
    assert "olympus" in card.training["held_out"]
    assert (card.embedding, card.input_px) == ("inception_resnet_v2", 64)
    assert card.features is not None
    assert card.features["licence"] == "Apache-2.0"
    ab, _ = Colorizer.load(given.work / "checkpoint", 1, "compact").predict(np.full((1, 400, 400), 50, np.float32))
    assert np.isfinite(ab).all()


OUT_OF_FOLD = "[map.out_of_fold]\nfolds = 2\nepochs = 1\nshare = 0.5\nfinal_share = 0.0\n[join]"


def test_the_targets_of_the_map_are_mixed_with_out_of_fold_predictions(
    given: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    given.recipe.write_text(RECIPE.replace("[join]", OUT_OF_FOLD))
    given.until = "map"
    bundle(given)
    assert "too large for one fold, so divided by photos' names: osie700" in capsys.readouterr().out
    with np.load(given.work / "map" / "out-of-fold.npz") as file:
        assert file["ab"].shape == (2, 6, 14, 14, 2)
        assert sorted(file["fold"].tolist()) == [-1, -1, -1, 0, 0, 1]
    assert (given.work / "map" / "best.weights.h5").is_file()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("folds = 1", "has folds = 1; expected 2 at least"),
        ("share = 1.5", "has share = 1.5; expected a share of the targets, 0 to 1"),
        ("fold = 2", "has fold; expected some of dropout, epochs, final_share, folds"),
    ],
)
def test_wrong_options_for_predictions_are_refused(given: Namespace, option: str, text: str) -> None:
    given.recipe.write_text(RECIPE.replace("[join]", f"[map.out_of_fold]\n{option}\n[join]"))
    with pytest.raises(TrainingError, match=text):
        bundle(given)


def test_upper_blocks_are_trained_with_the_map_and_kept(given: Namespace) -> None:
    tune = "[tune]\nbatch_size = 4\nsteps = 2\nvalidate_every_steps = 1\nwhole_share = 0.5\nbins_share = 1.0\n"
    tune += "learning_rate = 0.1\nwarm_up_steps = 1\naveraged_steps = 1\n[join]"
    given.recipe.write_text(RECIPE.replace("[join]", tune).replace("\nsteps = 1\n", "\nsteps = 0\n", 1))
    bundle(given)
    card = checkpoint.verify(given.work / "checkpoint")
    assert card.features is not None
    assert "blocks above stride 8 trained on" in card.features["weights"]
    assert card.training["validation"]["tune"]["step"] == 2
    started = untrained_feature_layers(with_classifier=True)
    network = load_features(given.work / "checkpoint", card)
    assert network is not None
    changed = [
        bool(np.abs(np.asarray(kept[0], np.float32) - np.asarray(start[0], np.float16)).max() > 1e-6)
        for kept, start in zip(network.layers, started[:LAYERS], strict=True)
    ]
    assert changed == [False] * FINE_LAYERS + [True] * (LAYERS - FINE_LAYERS)


def test_the_map_of_a_bundled_checkpoint_can_go_on_without_cached_features(given: Namespace) -> None:
    tune = (
        '[tune]\nstart_from = "second"\nside_px = 64\nbatch_size = 2\nsteps = 1\nlearning_rate = 0.0\n'
        "validate_every_steps = 1\n[join]\nsteps = 0\ndecoder_share = 0.25\n"
    )
    before_map = RECIPE.split("[map]")[0].replace("views = [0, 2]", "views = []")
    given.recipe.write_text(before_map + tune)
    bundle(given)
    assert not (given.work / "map").exists()
    made, second = (
        weights.read_fusion(folder)
        for folder in (given.work / "checkpoint", checkpoint.bundled_checkpoint_path("second"))
    )
    assert made["map_last.kernel"] == pytest.approx(np.asarray(second["map_last.kernel"], np.float32), abs=1e-3)
    assert made["map_ab.kernel"] == pytest.approx(np.asarray(second["map_ab.kernel"], np.float32), abs=1e-3)


def test_features_that_were_trained_are_not_joined_with_features_that_were_cached(given: Namespace) -> None:
    given.recipe.write_text(
        RECIPE.replace("[join]", "[tune]\nbatch_size = 2\nsteps = 1\nvalidate_every_steps = 1\n[join]")
    )
    with pytest.raises(TrainingError, match="set its steps to 0"):
        bundle(given)


@pytest.mark.parametrize("until", ["map", "checkpoint"])
def test_a_recipe_that_makes_no_map_is_refused(given: Namespace, until: str) -> None:
    given.recipe.write_text(RECIPE.replace("[map]", "[unknown]"))
    given.until = until
    with pytest.raises(TrainingError, match=r"has no \[map\] that makes a map; expected \[map\], or \[tune\]"):
        bundle(given)


def test_a_source_that_the_list_lacks_is_named(given: Namespace) -> None:
    (given.photos / "sources.csv").write_text("folder,shows,from,licence as far as stated\n")
    with pytest.raises(TrainingError, match="does not describe osie700; a model card names every source"):
        bundle(given)
