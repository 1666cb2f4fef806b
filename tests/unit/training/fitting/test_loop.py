import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest

from worker.model.backends.precision import computing_in
from worker.training.errors import TrainingError
from worker.training.evaluation.words import entry_in_words
from worker.training.fitting import loop


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model.compile(loop.adam(), loss="mse")
    return model


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As on a full disk: files can't be written beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def make_batch(step: int) -> loop.Batch:
    rng = np.random.default_rng(step)
    return rng.normal(size=(8, 4)).astype("f"), np.ones((8, 3), np.float32)


def run(model: keras.Model, folder: Path, steps: int, make: Callable[[int], loop.Batch] = make_batch,
        resume: bool = False) -> list[dict[str, float]]:  # fmt: skip
    schedule = loop.LearningRateSchedule(steps, final_share=1.0, warm_up_steps=0, validate_every_minutes=0)
    return loop.run(model, make, schedule, folder, lambda: {"figure": 1.0}, resume, say=lambda _: None)


def test_training_lowers_the_loss_and_keeps_its_history(tmp_path: Path) -> None:
    history = run(small_model(), tmp_path, 60)
    assert history[-1]["step"] == 60
    assert history[40]["loss"] < history[0]["loss"]
    assert (tmp_path / loop.STATE_FILE).is_file()


def test_targets_that_change_during_a_run_are_asked_for_its_progress(tmp_path: Path) -> None:
    progress_of_steps: list[float] = []

    def changing(step: int) -> loop.Batch:
        inputs, targets = make_batch(step)

        def targets_at(progress: float) -> np.ndarray:
            progress_of_steps.append(progress)
            return np.asarray(targets)

        return inputs, targets_at

    run(small_model(), tmp_path, 4, changing)
    assert progress_of_steps == [0, 0.25, 0.5, 0.75]


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


@pytest.mark.parametrize("room", [0, 4000, 300_000])  # bytes that a file may have: none, not all of the state, or all
def test_a_full_disk_leaves_the_last_state_and_nothing_beside_it(room: int, tmp_path: Path) -> None:
    run(small_model(), tmp_path, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    history = [{"step": number, "minutes": 0.0, "loss": 1.0} for number in range(10_000)]
    with no_file_above(room), pytest.raises(TrainingError, match="make room and resume"):
        loop.save_state(small_model(), tmp_path, history)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
        run(small_model(), tmp_path, 30, resume=True)


def test_the_rate_warms_up_and_runs_down() -> None:
    schedule = loop.LearningRateSchedule(steps=1000, learning_rate=1.0, final_share=0.1, warm_up_steps=100)
    rates = [schedule.rate(step, schedule.progress(step, 0)) for step in (0, 99, 500, 1000)]
    np.testing.assert_allclose(rates, [0.01, 0.978, 0.55, 0.1], atol=0.01)


def test_minutes_end_a_run_as_steps_do() -> None:
    assert loop.LearningRateSchedule(steps=0, minutes=10).progress(10**6, 5) == 0.5


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


def test_the_minutes_count_from_where_the_command_began(tmp_path: Path) -> None:
    schedule = loop.LearningRateSchedule(steps=0, minutes=1.0, warm_up_steps=0, validate_every_minutes=60)
    began = time.monotonic() - 58
    history = loop.run(small_model(), make_batch, schedule, tmp_path, lambda: {}, say=lambda _: None, began=began)
    assert time.monotonic() - began < 75
    assert history[-1]["minutes"] == pytest.approx(1, abs=0.2)


def test_minutes_that_the_preparation_has_taken_are_said(tmp_path: Path) -> None:
    schedule = loop.LearningRateSchedule(steps=0, minutes=1.0)
    with pytest.raises(TrainingError, match=r"--minutes 1 was given, and 1\.5 minutes are over before the first step"):
        loop.run(small_model(), make_batch, schedule, tmp_path, lambda: {}, began=time.monotonic() - 90)


def test_the_work_after_the_last_step_counts_in_the_minutes() -> None:
    assert loop.LearningRateSchedule(steps=0, minutes=10).progress(1, 8, end_minutes=2) == 1


def test_figures_are_described_in_words() -> None:
    entry = {"step": 120, "minutes": 2.5, "loss": 0.9, "r2_1": 0.1234, "r2_zeros": 0.05, "psnr_above_grey": 0.7}
    assert entry_in_words(entry) == (
        "step 120, 2.5 minutes, loss 0.9000, R2 with embedding 1 0.123, R2 without an embedding 0.050, "
        "dB above grey 0.700"
    )
