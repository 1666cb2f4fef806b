"""A training loop whose validation reads averaged weights and keeps the best by the yardstick.

A batch depends only on its number, so a continued run gives the same result as one without a stop.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from worker.system.whole_files import write_beside_then_rename
from worker.training.errors import TrainingError
from worker.training.evaluation.words import entry_in_words
from worker.training.fitting.loop import (
    HISTORY_FILE,
    STATE_FILE,
    Batch,
    batches_ahead,
    needing_room,
    save_state,
    save_weights,
    targets_at,
)

BEST_FILE = "best.weights.h5"
LATEST_FILE = "latest.weights.h5"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast: a linear warm-up, then a cosine until `steps` or `minutes`, whichever comes first.

    With `planned_minutes` the cosine reaches its end after these, and `minutes` stops the run before.
    """

    steps: int = 6000
    minutes: float = math.inf
    planned_minutes: float | None = None
    learning_rate: float = 2e-3
    final_share: float = 0.01  # share of the learning rate at the end
    warm_up_steps: int = 200
    averaged_steps: int = 1000  # steps over which weights are averaged
    report_every_steps: int = 100
    validate_every_steps: int = 500
    chosen_by: str = "r2"  # the weights with the best value of this figure are kept

    def progress(self, step: int, minutes: float) -> float:
        """0 at the start, 1 at the end."""
        return max(step / self.steps, minutes / self.minutes)

    def planned_progress(self, step: int, minutes: float) -> float:
        """0 at the start, 1 at the planned end, by which rates and targets change."""
        return min(1.0, max(step / self.steps, minutes / (self.planned_minutes or self.minutes)))

    def rate(self, step: int, minutes: float) -> float:
        """The learning rate of a step that begins after so many minutes."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.planned_progress(step, minutes)))
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


def decaying_adam(weight_decay: float, averaged_steps: int) -> keras.optimizers.Optimizer:
    """Adam with weight decay (not on biases and norms) and weights averaged over so many steps."""
    optimizer = keras.optimizers.AdamW(
        weight_decay=weight_decay, global_clipnorm=1.0, use_ema=True, ema_momentum=1 - 1 / averaged_steps
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def fit(
    model: keras.Model, make_batch: Callable[[int], Batch], config: LoopConfig, folder: Path,
    validate: Callable[[], dict[str, float]], resume: bool = False,
) -> list[dict[str, float]]:  # fmt: skip
    """Trains the compiled `model`; leaves `best` and `latest` averaged weights, the state and the history in `folder`.

    Raises TrainingError if the loss is no number, if there is nothing to continue, or if the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    history = _resume(model, folder) if resume else []
    step, before = (int(history[-1]["step"]), history[-1]["minutes"]) if history else (0, 0.0)
    if history and config.progress(step, before) >= 1:
        return history
    started, losses = time.monotonic(), []
    for inputs, targets in batches_ahead(make_batch, step):
        minutes = before + (time.monotonic() - started) / 60
        progress = config.progress(step, minutes)
        if progress < 1:
            model.optimizer.learning_rate.assign(config.rate(step, minutes))
            targets = targets_at(targets, config.planned_progress(step, minutes))
            losses.append(_train_step(model, inputs, targets, step, folder))
            step += 1
            if step % config.report_every_steps == 0:
                print(f"step {step} loss {np.mean(losses[-100:]):.4f}, {minutes:.1f} minutes", flush=True)
        if losses and (progress >= 1 or step % config.validate_every_steps == 0):
            entry = {"step": step, "minutes": round(minutes, 2), "loss": round(float(np.mean(losses)), 5)}
            history.append(entry | _measured(model, validate, folder))
            losses = []
            _save(model, folder, history, config.chosen_by)
            print(f"  validation: {entry_in_words(history[-1])}", flush=True)
        if progress >= 1:
            break
    return history


def _train_step(model: keras.Model, inputs: Any, targets: Any, step: int, folder: Path) -> float:
    # Of a network with two outputs Keras gives the sum first, then each one's.
    loss = float(np.ravel(np.asarray(model.train_on_batch(inputs, targets)))[0])
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is no number at step {step}; the last state is in {folder}: lower the rate")
    return loss


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """In the block, the model has its averaged weights; afterwards it has its training weights again."""
    averages = model.optimizer._model_variables_moving_average  # Keras has no public name for them
    raw = [np.asarray(variable) for variable in model.trainable_variables]
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        variable.assign(average)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, raw, strict=True):
            variable.assign(value)


def _measured(model: keras.Model, validate: Callable[[], dict[str, float]], folder: Path) -> dict[str, float]:
    with averaged_weights(model):
        figures = validate()
        _write_weights(model, folder / LATEST_FILE)
    return figures


def _write_weights(model: keras.Model, path: Path) -> None:
    plain = keras.Model(model.inputs, model.outputs)  # without the optimizer's variables
    with needing_room(path.parent), write_beside_then_rename(path) as new:
        save_weights(plain, new)


def _save(model: keras.Model, folder: Path, history: list[dict[str, Any]], chosen_by: str) -> None:
    save_state(model, folder, history)
    if history[-1][chosen_by] >= max(entry[chosen_by] for entry in history):
        with needing_room(folder), write_beside_then_rename(folder / BEST_FILE) as new:
            new.write_bytes((folder / LATEST_FILE).read_bytes())


def _resume(model: keras.Model, folder: Path) -> list[dict[str, float]]:
    if not (folder / STATE_FILE).is_file():
        raise TrainingError(f"{folder} has no {STATE_FILE}; there is nothing to resume: train without --resume")
    model.load_weights(folder / STATE_FILE)
    history: list[dict[str, float]] = json.loads((folder / HISTORY_FILE).read_text())
    return history
