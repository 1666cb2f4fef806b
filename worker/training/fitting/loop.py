"""The training loop of the fusion and the embedding: learning rates, progress, saving, continuing, stopping at NaN.

A batch depends only on its number, so a continued run gives the same result as one without a stop.
"""

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from worker.system.whole_files import expect_room, write_beside_then_rename
from worker.training.errors import TrainingError
from worker.training.evaluation.words import entry_in_words

Batch = tuple[Any, Any]  # inputs, and targets or a function that gives them for the run's progress, 0..1
STATE_FILE = "state.weights.h5"
HISTORY_FILE = "history.json"
SETTLING = 24  # batches from which the batch norms take their final statistics
_BYTES_OF_A_NUMBER = 4
_BYTES_OF_A_HEADER = 4096  # what HDF5 writes beside a variable's numbers is less


@dataclass(frozen=True)
class LearningRateSchedule:
    """The length of a run and its learning rates.

    It ends after `steps` or `minutes`, whichever comes first; 0 means no limit.
    """

    steps: int = 10_000
    minutes: float = 0.0
    learning_rate: float = 1e-3  # found by trying
    final_share: float = 0.02  # of the learning rate, at the end of the cosine
    warm_up_steps: int = 50
    report_every_steps: int = 100
    validate_every_minutes: float = 6.0

    def progress(self, step: int, minutes: float, end_minutes: float = 0.0) -> float:
        """0 at the start, 1 at the end; `end_minutes` are needed after the last step."""
        by_minutes = minutes / max(self.minutes - end_minutes, 1e-6) if self.minutes else 0.0
        return max(step / self.steps if self.steps else 0.0, by_minutes)

    def rate(self, step: int, progress: float) -> float:
        """Cosine decay after a linear warm-up (Loshchilov and Hutter, arXiv:1608.03983)."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        warm = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


class _Clock:
    """The minutes of a run: those that are over, and those that will be needed after the last step.

    After it, the norms are settled and the network is measured once more. `before` are the minutes of the runs that
    this one resumes; its own count from `began` on, by time.monotonic().
    """

    def __init__(self, before: float, began: float | None) -> None:
        self._validated = time.monotonic()
        self._before, self._began = before, self._validated if began is None else began
        self._step_seconds = self._validation_seconds = 0.0

    @property
    def minutes(self) -> float:
        return self._before + (time.monotonic() - self._began) / 60

    @property
    def minutes_since_validation(self) -> float:
        return (time.monotonic() - self._validated) / 60

    @property
    def end_minutes(self) -> float:
        # A batch that settles norms has no gradients: a third of a step.
        return (SETTLING * self._step_seconds / 3 + self._validation_seconds) / 60

    @contextmanager
    def timing_step(self) -> Generator[None]:
        """The shortest counts: the first step also compiles."""
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self._step_seconds = min(self._step_seconds or seconds, seconds)

    @contextmanager
    def timing_validation(self) -> Generator[None]:
        """The last one counts."""
        began = time.monotonic()
        yield
        self._validated = time.monotonic()
        self._validation_seconds = self._validated - began


class _Records:
    """The history of a run and the losses since its last entry. Each new entry is saved with the model and printed."""

    def __init__(
        self, model: keras.Model, folder: Path, history: list[dict[str, float]], say: Callable[[str], None]
    ) -> None:
        self.folder, self.say, self.losses = folder, say, list[float]()
        self._model, self._history = model, history

    def add(self, step: int, minutes: float, figures: dict[str, float], title: str = "") -> None:
        entry = _entry(step, self.losses, minutes, figures)
        self._history.append(entry)
        save_state(self._model, self.folder, self._history)
        self.say(f"  {title}{entry_in_words(entry)}")
        self.losses = []


def _expect_number(loss: float, step: int, folder: Path) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is no number at step {step}; the last good state is in {folder}: lower the rate")


def _expect_time_left(schedule: LearningRateSchedule, before: float, minutes: float) -> None:
    """Raises TrainingError if a run that has trained nothing so far has no minute left to train in."""
    if schedule.minutes and not before and minutes >= schedule.minutes:
        raise TrainingError(
            f"--minutes {schedule.minutes:g} was given, and {minutes:.1f} minutes are over before the first step; give "
            "more minutes. What was prepared is kept, so the next run begins sooner"
        )


def adam(averaged: float = 0.99) -> keras.optimizers.Optimizer:
    """Adam with a small weight decay (not for biases and norms) and averaged weights; `averaged` is their momentum."""
    optimizer = keras.optimizers.AdamW(weight_decay=1e-4, global_clipnorm=1.0, use_ema=True, ema_momentum=averaged)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def run(
    model: keras.Model,
    make_batch: Callable[[int], Batch],
    schedule: LearningRateSchedule,
    folder: Path,
    validate: Callable[[], dict[str, float]],
    resume: bool = False,
    say: Callable[[str], None] = print,
    began: float | None = None,
) -> list[dict[str, float]]:
    """Trains the compiled `model`, which has its averaged weights afterwards.

    Returns the history, with one entry for each report.

    `make_batch(step)` gives the step's inputs and targets. State goes into `folder` at every validation. The minutes of
    `schedule` count from `began` on, by time.monotonic(), so that preparing the photos counts; without it, from now on.
    What comes after the last step counts as well, as far as it is known how long that takes.
    Raises TrainingError when the loss is no number (the last good state stays), when the state can't be written, or
    when the preparation alone took all the minutes.
    """
    history = _resume(model, folder) if resume else []
    records = _Records(model, folder, history, say)
    before = history[-1]["minutes"] if history else 0.0
    clock = _Clock(before, began)
    _expect_time_left(schedule, before, clock.minutes - before)
    first = int(history[-1]["step"]) if history else 0
    step = _train(model, make_batch, first, schedule, clock, records, validate)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    settle_norms(model, make_batch, step)
    records.add(step, clock.minutes, validate(), "final, averaged weights: ")
    return history


def _train(
    model: keras.Model,
    make_batch: Callable[[int], Batch],
    step: int,
    schedule: LearningRateSchedule,
    clock: _Clock,
    records: _Records,
    validate: Callable[[], dict[str, float]],
) -> int:
    """Trains from `step` on until its minutes or steps are over; returns the number of steps that have been taken."""
    for batch in batches_ahead(make_batch, step):
        minutes = clock.minutes
        progress = schedule.progress(step, minutes, clock.end_minutes)
        if progress >= 1:
            break
        model.optimizer.learning_rate.assign(schedule.rate(step, progress))
        with clock.timing_step():
            records.losses.append(train_step(model, batch, progress))
        step += 1
        _expect_number(records.losses[-1], step, records.folder)
        if step % schedule.report_every_steps == 0:
            records.say(_progress_line(step, records.losses, progress, minutes))
        if clock.minutes_since_validation > schedule.validate_every_minutes:
            with clock.timing_validation():
                records.add(step, minutes, validate())
    return step


def targets_at(targets: Any, progress: float) -> Any:
    """A batch's targets at this progress of the run, 0..1."""
    return targets(progress) if callable(targets) else targets


def train_step(model: keras.Model, batch: Batch, progress: float = 0.0) -> float:
    """One step on inputs and targets; returns its loss."""
    inputs, targets = batch[0], targets_at(batch[1], progress)
    # For a network with two heads, Keras gives first the sum and then each head's loss.
    return float(np.ravel(np.asarray(model.train_on_batch(inputs, targets)))[0])


def settle_norms(model: keras.Model, make_batch: Callable[[int], Batch], first: int, batches: int = SETTLING) -> None:
    """Measures the batch norms' means and variances again, because the weights have been averaged since."""
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


def batches_ahead(make_batch: Callable[[int], Batch], first: int) -> Generator[Batch]:
    """Batches from step `first` on, made a few ahead by a thread; OpenCV works outside the GIL."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=4)
    over = threading.Event()

    def work() -> None:
        step = first
        while not over.is_set():
            try:
                batch: Batch | BaseException = make_batch(step)
            except BaseException as error:  # passed to the caller, who waits for a batch
                batch = error
            ready.put(batch)
            step += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
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
        thread.join()  # JAX aborts the process if a thread still computes while Python ends


@contextmanager
def needing_room(folder: Path) -> Generator[None]:
    """Turns what the disk says while state is written in the block into a TrainingError."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the training state in {folder} can't be written ({error}); make room and resume"
        ) from None


def save_weights(model: keras.Model, path: Path) -> None:
    """Saves the model and its optimizer as the new file `path`. Raises OSError on a full disk, where HDF5 may crash."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    sizes = [math.prod(variable.shape) * _BYTES_OF_A_NUMBER + _BYTES_OF_A_HEADER for variable in variables]
    expect_room(path, sum(sizes))
    model.save_weights(path)


def save_state(model: keras.Model, folder: Path, history: list[dict[str, float]]) -> None:
    """Writes state and history, which belong together: both become the new ones, or both stay as they were.

    Raises TrainingError when they can't be written.
    """
    state, entries = folder / STATE_FILE, folder / HISTORY_FILE
    with needing_room(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (
            write_beside_then_rename(entries, folder / f"new-{HISTORY_FILE}") as new_entries,
            write_beside_then_rename(state, folder / f"new-{STATE_FILE}") as new_state,
        ):
            new_state.unlink(missing_ok=True)  # of a run that was killed
            save_weights(model, new_state)
            new_entries.write_text(json.dumps(history, indent=1))


def _resume(model: keras.Model, folder: Path) -> list[dict[str, float]]:
    if not (folder / STATE_FILE).is_file():
        raise TrainingError(f"{folder} has no {STATE_FILE}; there is nothing to resume: train without --resume")
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder / STATE_FILE)
    history: list[dict[str, float]] = json.loads((folder / HISTORY_FILE).read_text())
    return history
