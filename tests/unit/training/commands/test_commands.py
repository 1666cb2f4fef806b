import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.conftest import colour_photo, write_photo
from worker.model.checkpoint import verify
from worker.model.classifiers import compact
from worker.model.network import build_network
from worker.training.__main__ import main
from worker.training.command_parser import command_parser
from worker.training.commands import evaluate as evaluation
from worker.training.evaluation import evaluate as measuring
from worker.training.export.checkpoint import TrainedEmbedding, export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos, and a checkpoint with the small embedding alone: InceptionResNetV2 takes its time."""
    folder = tmp_path_factory.mktemp("training")
    for number in range(40):
        write_photo(folder / "photos" / "hues" / f"{number:02}.png", colour_photo(number))
    about = {"architecture": "compact", "input_px": 32, "temperature": 1.0}
    embedding = TrainedEmbedding(compact.fold(compact.build_compact(32)), about)
    export(folder / "base", "base", build_network("both", 32), {"compact": embedding}, {})
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """What a run of two steps leaves."""
    assert main([*train(folder, "run"), "--steps", "2", "--licence", "hues=CC0"]) == 0
    return folder / "run"


def train(folder: Path, output: str) -> list[str]:
    command = ["train", str(folder / "photos"), "--checkpoint", str(folder / "base"), "--output", str(folder / output)]
    return [*command, "--cache", str(folder / "cache"), "--side-px", "16", "--batch-size", "2"]


def test_train_leaves_state_settings_and_pictures(run: Path) -> None:
    made = {path.name for path in run.iterdir()}
    assert {"state.weights.h5", "history.json", "settings.json", "curves.png", "contact.png", "checkpoint"} <= made
    kept = json.loads((run / "settings.json").read_text())
    assert kept["photos"] == {"hues": 40}
    assert kept["settings"]["expected_share"] == kept["settings"]["final_expected_share"] == 0
    assert kept["settings"]["looks"] == 0.4


def test_train_ends_with_a_checkpoint_and_its_card(run: Path) -> None:
    card = verify(run / "checkpoint")
    assert card.heads == ("paper", "vivid")
    assert card.embeddings["compact"]["input_px"] == 32
    assert card.training["data"] == [{"source": "hues", "licence": "CC0", "photos": 40}]
    assert card.training["validation"]["step"] == 2
    assert card.doubtful_below is not None
    assert 0 < card.doubtful_below < 1


def test_the_logits_of_the_photos_are_computed_once(run: Path) -> None:
    (file,) = (run.parent / "cache").glob("logits-*.npz")
    with np.load(file) as kept:
        powers = np.exp(kept["logits"].astype(np.float64))
    np.testing.assert_allclose(powers.sum(1), 1, rtol=0.02)


def test_the_output_of_cross_fit_can_be_used_by_train(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder / "found" / "expected.npz"
    command = ["cross-fit", str(folder / "photos"), "--checkpoint", str(folder / "base")]
    command += ["--cache", str(folder / "cache")]
    assert main([*command, "--output", str(found), "--folds", "2", "--epochs", "1"]) == 0
    assert "1 sources; too large for one fold, so divided by photos' names: hues" in capsys.readouterr().out
    with np.load(found) as file:
        assert file["divided_sources"].tolist() == ["hues"]
        assert set(file["fold"].tolist()) == {-1, 0, 1}
    assert main([*train(folder, "drawn"), "--steps", "1", "--expected-colours", str(found)]) == 0
    settings = json.loads((folder / "drawn" / "settings.json").read_text())["settings"]
    assert (settings["expected_share"], settings["final_expected_share"]) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--folds", "1"], "--folds 1 --epochs 8 was given; expected 2 and 1 at least"),
        (["--features", "nowhere.npz"], "nowhere.npz can't be read"),
        (["--output", "."], "--output . is a folder; expected a file's name"),
    ],
)
def test_cross_fit_refuses_what_it_cannot_use(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    command = ["cross-fit", str(folder / "photos"), "--cache", str(folder / "cache")]
    command += ["--output", str(folder / "no.npz")]
    assert main([*command, *options]) == 2
    assert text in capsys.readouterr().err
    assert not (folder / "no.npz").exists()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--weight=hues=x", "'hues=x' was given; expected FOLDER=NUMBER"),
        ("--keep=hues=1", "--keep hues=1 leaves no photo to train on"),
        ("--licence=huse=CC0", "names huse; expected FOLDER=LICENCE"),
        ("--expected-share=1.5", "--expected-share 1.5 was given; expected a share of the targets, 0 to 1"),
        ("--looks=2", "--looks 2 was given; expected a share of the crops"),
        ("--start-from=second", "second has a map of features, which is not trained here; give --start-from first"),
        ("--start-from=nowhere", "--start-from nowhere is neither a folder nor a file"),
        ("--embedding=best", "'best' is neither a name nor a file; give 'compact', 'imagenet'"),
    ],
)
def test_a_wrong_option_is_refused(folder: Path, option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*train(folder, "refused"), "--steps", "1", option]) == 2
    assert text in capsys.readouterr().err


def test_two_embeddings_for_one_place_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*train(folder, "refused"), "--steps", "1", "--embedding", "compact", "compact"]) == 2
    assert "keeps one InceptionResNetV2 and one compact embedding" in capsys.readouterr().err


def test_training_without_an_end_is_refused_before_tensorflow_loads(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.training.__main__.import_module", lambda _: pytest.fail("loaded"))
    assert main(train(folder, "endless")) == 2
    assert "neither --steps nor --minutes was given" in capsys.readouterr().err


def test_photos_are_measured_in_blocks_with_the_same_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["evaluate", str(folder / "photos"), "--checkpoint", str(folder / "base"), "--batch-size", "2"]
    command += ["--limit", "5", "--sheet-photos", "3"]
    monkeypatch.setattr(evaluation, "EMBEDDED_AT_ONCE", 1)
    blocks: dict[int, list[int]] = {}
    for size in (64, 2):
        monkeypatch.setattr(evaluation, "PHOTOS_AT_ONCE", size)
        files = ["--json", str(folder / f"{size}.json"), "--sheet", str(folder / f"{size}.png")]
        blocks[size] = [len(block.names) for block in evaluation._blocks(command_parser().parse_args(command), 2)]
        assert main([*command, *files]) == 0
    assert blocks == {64: [5], 2: [2, 2, 1]}
    for suffix in ("json", "csv", "png"):
        assert (folder / f"2.{suffix}").read_bytes() == (folder / f"64.{suffix}").read_bytes()


def test_a_block_is_whole_batches_and_at_most_64_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "photo_blocks", lambda folder, limit, size: iter([size]))
    arguments = command_parser().parse_args(["evaluate", "photos"])

    sizes = {batch: next(evaluation._blocks(arguments, batch)) for batch in (1, 8, 24, 31, 32, 64, 100)}

    assert sizes == {1: 64, 8: 64, 24: 48, 31: 62, 32: 64, 64: 64, 100: 100}


def test_measuring_with_a_missing_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--checkpoint", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_prints_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("worker.training.commands.train.train", interrupted)

    assert main([*train(folder, "stopped"), "--steps", "1"]) == 130
    assert capsys.readouterr().err == "photochrom: stopped; give --resume to continue a training run\n"


def test_every_option_says_what_it_does() -> None:
    commands = next(action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    silent = [
        (name, action.dest)
        for name, parser in commands.choices.items()
        for action in parser._actions
        if not action.help
    ]
    assert not silent
