import json
from pathlib import Path

import numpy as np
import pytest

from worker.training.__main__ import main
from worker.training.dataset import build_cache


@pytest.fixture
def logits_file(photo_folder: Path, tmp_path: Path) -> Path:
    names = build_cache([photo_folder], tmp_path / "cache").names
    logits = np.random.default_rng(0).normal(size=(len(names), 1000)).astype(np.float16)
    np.savez(tmp_path / "logits.npz", names=names, logits=logits)
    return tmp_path / "logits.npz"


def test_train_leaves_state_settings_and_curves(photo_folder: Path, logits_file: Path, tmp_path: Path) -> None:
    command = ["train", str(photo_folder), "--logits", str(logits_file), "--output", str(tmp_path / "run")]
    assert (
        main([*command, "--cache", str(tmp_path / "cache"), "--steps", "2", "--side-px", "16", "--batch-size", "2"])
        == 0
    )
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"state.weights.h5", "history.json", "settings.json", "curves.png"} <= made
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["photos"] == {"hues": 40}


def test_training_without_an_end_is_refused(
    photo_folder: Path, logits_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(photo_folder), "--logits", str(logits_file), "--output", str(tmp_path / "run")]
    assert main(command) == 2
    assert "neither --steps nor --minutes was given" in capsys.readouterr().err


def test_measuring_with_a_missing_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--checkpoint", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
