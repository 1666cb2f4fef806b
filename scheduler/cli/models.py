"""Commands about the model: train and evaluate. They become `python -m worker.training`, which loads TensorFlow."""

from __future__ import annotations

import typer

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    for command in (train, evaluate):
        app.command(rich_help_panel="Model", context_settings=_PASS_ON)(command)


def train(context: typer.Context) -> None:
    """Train a checkpoint on folders or tar files of colour photos."""
    _become("train", context.args)


def evaluate(context: typer.Context) -> None:
    """Measure a checkpoint on a folder of colour photos, beside the grey and the tint baseline."""
    _become("evaluate", context.args)


def _become(command: str, arguments: list[str]) -> None:
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.training", command, *arguments])
