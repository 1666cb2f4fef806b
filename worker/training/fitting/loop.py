"""The training loop that the fusion and the embedding share: schedule, progress, saving, resuming, stopping at NaN.

A batch is a function of its number alone, so a run that is resumed goes on as if it had never stopped.
"""

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from worker.training.errors import TrainingError

Batch = tuple[Any, Any]  # inputs and targets
STATE_FILE = "state.weights.h5"
HISTORY_FILE = "history.json"
SETTLING = 24  # batches whose statistics the batch norms keep in the end


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. It ends after `steps` or `minutes`, whichever comes first; 0 sets no end."""

    steps: int = 10_000
    minutes: float = 0.0
    learning_rate: float = 1e-3  # found by trying
    final_share: float = 0.02  # of the learning rate, at the end of the cosine
    warm_up_steps: int = 50
    report_every_steps: int = 100
    validate_every_minutes: float = 6.0

    def progress(self, step: int, minutes: float) -> float:
        """0 at the start, 1 at the end."""
        return max(step / self.steps if self.steps else 0.0, minutes / self.minutes if self.minutes else 0.0)

    def rate(self, step: int, progress: float) -> float:
        """Cosine decay after a linear warm-up (Loshchilov and Hutter, arXiv:1608.03983)."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        warm = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


def adam(averaged: float = 0.99) -> keras.optimizers.Optimizer:
    """Adam with a little weight decay (not on biases and norms) and averaged weights, of this momentum."""
    optimizer = keras.optimizers.AdamW(weight_decay=1e-4, global_clipnorm=1.0, use_ema=True, ema_momentum=averaged)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def run(
    model: keras.Model,
    make_batch: Callable[[int], Batch],
    schedule: Schedule,
    folder: Path,
    validate: Callable[[], dict[str, float]],
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> list[dict[str, float]]:
    """Trains the compiled `model` and leaves it with its averaged weights; returns the history, one entry a report.

    `make_batch(step)` gives the step's inputs and targets. State goes into `folder` at every validation.
    Raises TrainingError when the loss is no number (the last good state stays) or the state can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history = _resume(model, folder) if resume else []
    step, before = (int(history[-1]["step"]), history[-1]["minutes"]) if history else (0, 0.0)
    started = validated = time.monotonic()
    losses: list[float] = []
    for inputs, targets in _ahead(make_batch, step):
        minutes = before + (time.monotonic() - started) / 60
        progress = schedule.progress(step, minutes)
        if progress >= 1:
            break
        model.optimizer.learning_rate.assign(schedule.rate(step, progress))
        # Of a network with two heads Keras gives the sum first, then each head's.
        losses.append(float(np.ravel(np.asarray(model.train_on_batch(inputs, targets)))[0]))
        step += 1
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"the loss is no number at step {step}; the last good state is in {folder}: lower the rate"
            )
        if step % schedule.report_every_steps == 0:
            say(_progress_line(step, losses, progress, minutes))
        if time.monotonic() - validated > schedule.validate_every_minutes * 60:
            history.append(_entry(step, losses, minutes, validate()))
            _save(model, folder, history)
            say(f"  validation {history[-1]}")
            losses, validated = [], time.monotonic()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    settle_norms(model, make_batch, step)
    history.append(_entry(step, losses, before + (time.monotonic() - started) / 60, validate()))
    _save(model, folder, history)
    say(f"  final, averaged weights: validation {history[-1]}")
    return history


def settle_norms(model: keras.Model, make_batch: Callable[[int], Batch], first: int, batches: int = SETTLING) -> None:
    """Measures the batch norms' means and variances anew, for weights that were averaged after they were measured."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for number in range(batches):
        for norm in norms:
            norm.momentum = number / (number + 1)  # so that the moving mean is the mean of all these batches
        model(make_batch(first + number)[0], training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _entry(step: int, losses: list[float], minutes: float, figures: dict[str, float]) -> dict[str, float]:
    loss = float(np.mean(losses)) if losses else math.nan
    return {"step": step, "minutes": round(minutes, 2), "loss": round(loss, 5)} | figures


def _progress_line(step: int, losses: list[float], progress: float, minutes: float) -> str:
    left = minutes * (1 - progress) / progress if progress else math.inf
    return f"step {step} loss {np.mean(losses[-100:]):.4f}, {minutes:.1f} minutes, {left:.0f} left"


def _ahead(make_batch: Callable[[int], Batch], first: int) -> Iterator[Batch]:
    """Batches from step `first` on, made a few ahead by a thread; OpenCV works outside the GIL."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=4)
    over = threading.Event()

    def work() -> None:
        step = first
        while not over.is_set():
            try:
                batch: Batch | BaseException = make_batch(step)
            except BaseException as error:  # handed to the caller, who waits for a batch
                batch = error
            ready.put(batch)
            step += 1

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        over.set()
        while not ready.empty():
            ready.get_nowait()


def _save(model: keras.Model, folder: Path, history: list[dict[str, float]]) -> None:
    new = folder / f"new-{STATE_FILE}"
    try:
        model.save_weights(new)
        new.replace(folder / STATE_FILE)
        (folder / HISTORY_FILE).write_text(json.dumps(history, indent=1))
    except OSError as error:
        raise TrainingError(
            f"the training state in {folder} can't be written ({error}); make room and resume"
        ) from None


def _resume(model: keras.Model, folder: Path) -> list[dict[str, float]]:
    if not (folder / STATE_FILE).is_file():
        raise TrainingError(f"{folder} has no {STATE_FILE}; there is nothing to resume: train without --resume")
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder / STATE_FILE)
    history: list[dict[str, float]] = json.loads((folder / HISTORY_FILE).read_text())
    return history


def schedule_settings(schedule: Schedule) -> dict[str, Any]:
    """The schedule as it stands in a model card."""
    return asdict(schedule)
