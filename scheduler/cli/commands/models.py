"""Commands about the model. Those that load TensorFlow become `python -m worker.training`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from worker.model.checkpoint import Card

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    for command in (train, expect, evaluate):
        app.command(rich_help_panel="Model", context_settings=_PASS_ON)(command)

    app.command(rich_help_panel="Model")(models)


def models(
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A checkpoint's folder; default: PHOTOCHROM_CHECKPOINT, or the bundled one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Show a checkpoint's card: its heads and embeddings, what it was measured at, its limits, and its ids for redo."""
    from dataclasses import asdict

    from scheduler.cli import common
    from worker.model.checkpoint import bundled_checkpoint_path, verify

    chosen = (folder and folder.absolute()) or common.settings().checkpoint or bundled_checkpoint_path()
    card = verify(chosen)
    if json:
        ids = [{"id": each, "head": head, "embedding": name} for each, (head, name) in card.variants().items()]
        common.print_json(asdict(card) | {"ids": ids})
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
    _print_ids(console, card, [] if chosen == bundled_checkpoint_path() else [f"PHOTOCHROM_CHECKPOINT={chosen}"])


def _print_ids(console: Console, card: Card, place: list[str]) -> None:
    """What each worker may call itself that has this checkpoint, with the settings that make it so."""
    console.print("\nphotochrom review JOB redo KEY --checkpoint ID is done by a worker started with:")
    width = max(map(len, card.variants()))
    for each, (head, embedding) in card.variants().items():
        asked = [f"PHOTOCHROM_HEAD={head}"] * (head != card.head)
        asked += [f"PHOTOCHROM_EMBEDDING={embedding}"] * (embedding != card.embedding)
        console.print(f"  {each:{width}}  {' '.join(place + asked) or 'the defaults'}", highlight=False, soft_wrap=True)
    console.print("photochrom status --workers shows which one each worker has.")


def train(context: typer.Context) -> None:
    """Train a checkpoint on folders or tar files of colour photos."""
    _become("train", context.args)


def expect(context: typer.Context) -> None:
    """Find the colours that colour photos let expect of each other, for train --expected-colours."""
    _become("expect", context.args)


def evaluate(context: typer.Context) -> None:
    """Measure a checkpoint on a folder of colour photos, beside the grey and the tint baseline."""
    _become("evaluate", context.args)


def _become(command: str, arguments: list[str]) -> None:
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.training", command, *arguments])
