"""Commands about the model. `train` and `evaluate` become `python -m worker.training`, which loads TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    for command in (train, evaluate):
        app.command(rich_help_panel="Model", context_settings=_PASS_ON)(command)

    app.command(rich_help_panel="Model")(models)


def models(
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A checkpoint's folder; default: PHOTOCHROM_CHECKPOINT, or the bundled one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Show a checkpoint's card: its heads and embeddings, which are best, what it was measured at, its limits."""
    from dataclasses import asdict

    from scheduler.cli import common
    from worker.model.checkpoint import bundled_checkpoint_path, verify

    chosen = folder or common.settings().checkpoint or bundled_checkpoint_path()
    card = verify(chosen)
    if json:
        common.print_json(asdict(card))
        return
    console = common.console()
    console.print(f"Checkpoint {card.id} ({card.name}) in {chosen}, whole", highlight=False)
    for head in card.heads:
        console.print(f"  head {head}{' (used unless told otherwise)' * (head == card.head)}", highlight=False)
    for name, about in card.embeddings.items():
        used = " (used unless told otherwise)" * (name == card.embedding)
        console.print(f"  embedding {name}{used}: {about['architecture']}, {about['weights']}", highlight=False)
    for name, values in card.figures.items():
        if isinstance(values, dict) and "r2" in values:
            console.print(f"  {name}: R2 {values['r2']:.3f}, PSNR {values['psnr']:.2f} dB", highlight=False)
    for limit in card.limits:
        console.print(f"  {limit}", highlight=False)


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
