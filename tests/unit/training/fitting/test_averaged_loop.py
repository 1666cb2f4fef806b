import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.unit.training.fitting.test_loop import no_file_above
from worker.training.commands import bundle as bundling
from worker.training.errors import TrainingError
from worker.training.fitting.averaged_loop import LoopConfig, averaged_weights, decaying_adam, fit


def line() -> keras.Model:
    """y = w x, to be trained to y = 2 x."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(decaying_adam(0.0, averaged_steps=4), loss="mse", jit_compile=False)
    return model


def batch(step: int) -> tuple[Any, Any]:
    x = np.random.default_rng(step).normal(size=(8, 1)).astype(np.float32)
    return x, 2 * x


def weight(model: keras.Model) -> float:
    return float(np.asarray(model.trainable_variables[0]).item())


CONFIG = LoopConfig(steps=20, learning_rate=0.05, warm_up_steps=1, validate_every_steps=5)


def test_validation_reads_the_averaged_weights(tmp_path: Path) -> None:
    model = line()
    seen: list[float] = []

    def validate() -> dict[str, float]:
        seen.append(weight(model))
        return {"r2": seen[-1]}

    fit(model, batch, CONFIG, tmp_path, validate)
    assert seen[-1] != weight(model)
    with averaged_weights(model):
        assert weight(model) == seen[-1]


def test_targets_that_change_are_asked_for_the_planned_progress(tmp_path: Path) -> None:
    progress_of_steps: list[float] = []

    def changing(step: int) -> tuple[Any, Any]:
        x, y = batch(step)

        def targets_at(progress: float) -> np.ndarray:
            progress_of_steps.append(progress)
            return np.asarray(y)

        return x, targets_at

    fit(line(), changing, LoopConfig(steps=4, validate_every_steps=4), tmp_path, lambda: {"r2": 0.0})
    assert progress_of_steps == [0, 0.25, 0.5, 0.75]


def test_the_best_by_the_yardstick_is_kept(tmp_path: Path) -> None:
    figures = iter([0.1, 0.9, 0.2, 0.3])
    model = line()
    kept: list[float] = []

    def validate() -> dict[str, float]:
        kept.append(weight(model))
        return {"r2": next(figures)}

    fit(model, batch, CONFIG, tmp_path, validate)
    best = line()
    keras.Model(best.inputs, best.outputs).load_weights(tmp_path / "best.weights.h5")
    assert weight(best) == pytest.approx(kept[1])


def test_a_run_that_is_resumed_goes_on_from_its_last_state(tmp_path: Path) -> None:
    fit(line(), batch, LoopConfig(steps=10, validate_every_steps=5), tmp_path, lambda: {"r2": 0.0})
    history = fit(line(), batch, LoopConfig(steps=15, validate_every_steps=5), tmp_path, lambda: {"r2": 0.0}, True)
    assert [entry["step"] for entry in history] == [5, 10, 15]
    again = fit(line(), batch, LoopConfig(steps=15, validate_every_steps=5), tmp_path, lambda: {"r2": 0.0}, True)
    assert again == json.loads((tmp_path / "history.json").read_text())


def test_a_run_that_cannot_be_resumed_and_a_loss_that_is_not_a_number_are_reported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is nothing to resume"):
        fit(line(), batch, CONFIG, tmp_path / "none", lambda: {"r2": 0.0}, resume=True)
    with pytest.raises(TrainingError, match="the loss is no number at step 0"):
        fit(line(), lambda _: (np.full((1, 1), np.nan), np.zeros((1, 1))), CONFIG, tmp_path, lambda: {"r2": 0.0})


def test_a_full_disk_cuts_no_history(tmp_path: Path) -> None:
    fit(line(), batch, LoopConfig(steps=5, validate_every_steps=5), tmp_path, lambda: {"r2": 0.0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    more = LoopConfig(steps=10, validate_every_steps=5)
    with no_file_above(100), pytest.raises(TrainingError, match="make room and resume"):
        fit(line(), batch, more, tmp_path, lambda: {"r2": 0.0}, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_that_is_stopped_early_keeps_the_rates_of_its_plan() -> None:
    whole = LoopConfig(steps=10**9, minutes=86, warm_up_steps=1)
    stopped = replace(whole, minutes=64, planned_minutes=86)
    assert [stopped.rate(500, minutes) for minutes in (0, 30, 64)] == [
        whole.rate(500, minutes) for minutes in (0, 30, 64)
    ]
    assert stopped.progress(500, 63.9) < 1 <= stopped.progress(500, 64)
    assert stopped.rate(500, 64) > 10 * replace(whole, minutes=64).rate(500, 64)


def test_the_recipe_of_third_stops_before_its_cosine_ends() -> None:
    recipe = tomllib.loads((Path(bundling.__file__).parents[1] / "recipes" / "third.toml").read_text())
    loop = bundling._loop(recipe["tune"])
    assert (loop.minutes, loop.planned_minutes) == (64, 86)
