from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from worker.model.backends.precision import computing_in
from worker.training.errors import TrainingError
from worker.training.fitting import loop


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model.compile(loop.adam(), loss="mse")
    return model


def make_batch(step: int) -> loop.Batch:
    rng = np.random.default_rng(step)
    return rng.normal(size=(8, 4)).astype("f"), np.ones((8, 3), np.float32)


def run(model: keras.Model, folder: Path, steps: int, make: Callable[[int], loop.Batch] = make_batch,
        resume: bool = False) -> list[dict[str, float]]:  # fmt: skip
    schedule = loop.Schedule(steps, final_share=1.0, warm_up_steps=0, validate_every_minutes=0)
    return loop.run(model, make, schedule, folder, lambda: {"figure": 1.0}, resume, say=lambda _: None)


def test_training_lowers_the_loss_and_keeps_its_history(tmp_path: Path) -> None:
    history = run(small_model(), tmp_path, 60)
    assert history[-1]["step"] == 60
    assert history[40]["loss"] < history[0]["loss"]
    assert (tmp_path / loop.STATE_FILE).is_file()


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    seen: list[int] = []

    def until_killed(step: int) -> loop.Batch:
        if step == 12:
            raise Killed
        return make_batch(step)

    def noted(step: int) -> loop.Batch:
        seen.append(step)
        return make_batch(step)

    whole, halves = small_model(), small_model()
    run(whole, tmp_path / "whole", 30)
    with pytest.raises(Killed):
        run(halves, tmp_path / "halves", 30, until_killed)
    halves = small_model()
    run(halves, tmp_path / "halves", 30, noted, resume=True)
    assert seen[0] == 12
    for expected, found in zip(whole.get_weights(), halves.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nan_stops_training_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    def broken(step: int) -> loop.Batch:
        inputs, targets = make_batch(step)
        return (inputs * np.nan, targets) if step == 5 else (inputs, targets)

    with pytest.raises(TrainingError, match="the loss is no number at step 6; the last good state is in"):
        run(small_model(), tmp_path, 30, broken)
    kept = small_model()
    kept.load_weights(tmp_path / loop.STATE_FILE)
    assert all(np.isfinite(weights).all() for weights in kept.get_weights())


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
        run(small_model(), tmp_path, 30, resume=True)


def test_the_rate_warms_up_and_runs_down() -> None:
    schedule = loop.Schedule(steps=1000, learning_rate=1.0, final_share=0.1, warm_up_steps=100)
    rates = [schedule.rate(step, schedule.progress(step, 0)) for step in (0, 99, 500, 1000)]
    np.testing.assert_allclose(rates, [0.01, 0.978, 0.55, 0.1], atol=0.01)


def test_minutes_end_a_run_as_steps_do() -> None:
    assert loop.Schedule(steps=0, minutes=10).progress(10**6, 5) == 0.5


def test_precision_is_as_before_afterwards() -> None:
    before = keras.config.dtype_policy().name
    with computing_in("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


def test_settled_norms_hold_the_statistics_of_the_batches() -> None:
    model = small_model()
    loop.settle_norms(model, make_batch, 0, batches=200)
    dense, norm = model.layers
    outputs = np.concatenate([np.asarray(dense(make_batch(step)[0])) for step in range(200)])
    np.testing.assert_allclose(np.asarray(norm.moving_mean), outputs.mean(0), atol=1e-3)
    np.testing.assert_allclose(np.asarray(norm.moving_variance), outputs.var(0), rtol=0.25)
