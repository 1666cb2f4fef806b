"""Python runs this at the start of every process that has this folder on its PYTHONPATH: a worker under test.

A scan named "kills-child" kills the child that opens it, as a file that crashes a decoder would. A scan of a single
grey kills the model server that predicts it, as a scan that crashes a driver would. After each batch, the model server
writes the number of its scans into the file DEVICE_LOG. FREEZE_AT names stages; at each of them, one child stops
itself.
"""

import os
import signal
import sys
from typing import Any


def _make_children_mortal() -> None:
    from worker.pipeline.colorize import Pipeline

    opening = Pipeline._open

    def open_or_die(self: Any, page: Any, *others: Any) -> Any:
        if "kills-child" in page.file.key:
            os.kill(os.getpid(), signal.SIGKILL)
        return opening(self, page, *others)

    setattr(Pipeline, "_open", open_or_die)  # noqa: B010


def _make_the_model_server_mortal() -> None:
    from worker.inference.models.stub_model import StubColorizer

    predicting = StubColorizer.predict_packed

    def predict_or_die(self: Any, lightness: Any) -> Any:
        if any(each.min() == each.max() for each in lightness):
            os.kill(os.getpid(), signal.SIGKILL)
        predicted = predicting(self, lightness)
        with open(os.environ["DEVICE_LOG"], "a") as file:
            file.write(f"{len(lightness)}\n")
        return predicted

    setattr(StubColorizer, "predict_packed", predict_or_die)  # noqa: B010


def _let_children_freeze(stages: list[str]) -> None:
    from db.queries.scans import leases
    from worker.pipeline.colorize import Pipeline

    places: dict[str, tuple[Any, str]] = {
        "fetch": (Pipeline, "_probe"),
        "predict": (Pipeline, "_compose"),
        "store": (Pipeline, "_store"),
        "record": (leases, "record"),
    }
    for stage in stages:
        _freeze_in(*places[stage], stage)


def _freeze_in(place: Any, name: str, stage: str) -> None:
    function = getattr(place, name)

    def freeze_first(*arguments: Any, **options: Any) -> Any:
        if _is_mine(stage):
            os.kill(os.getpid(), signal.SIGSTOP)
        return function(*arguments, **options)

    setattr(place, name, freeze_first)


def _is_mine(stage: str) -> bool:
    """Whether this child is the first to reach the stage, and has not been stopped before."""
    folder = os.path.dirname(os.environ["DEVICE_LOG"])
    for mark in (f"frozen-{os.getpid()}", f"frozen-{stage}"):
        try:
            os.close(os.open(os.path.join(folder, mark), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            if mark == f"frozen-{stage}":
                os.unlink(os.path.join(folder, f"frozen-{os.getpid()}"))
            return False
    return True


if any("worker.tasks.app" in argument for argument in sys.orig_argv):  # Celery
    _make_children_mortal()
    if "FREEZE_AT" in os.environ:
        _let_children_freeze(os.environ["FREEZE_AT"].split(","))
if "worker.inference.server" in sys.orig_argv:
    _make_the_model_server_mortal()
