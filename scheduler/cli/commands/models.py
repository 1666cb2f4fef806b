"""`photochrom models`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scheduler.cli.common import print_json
from worker.model.checkpoint import Card, bundled_checkpoint_path, checkpoint_folder, verify
from worker.settings.settings import load_settings

DEFAULT = " (the default)"

app = typer.Typer()


@app.command()
def models(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="The checkpoint's folder, or the name of a bundled one; default: PHOTOCHROM_CHECKPOINT, or second.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Show a checkpoint: its heads, embeddings, figures, limits and ids."""
    path = (folder and checkpoint_folder(folder).absolute()) or load_settings().checkpoint_folder
    card = verify(path)
    if json:
        ids = [{"id": id, "head": head, "embedding": embedding} for id, (head, embedding) in card.variants().items()]
        print_json(asdict(card) | {"ids": ids})
        return
    console = Console()
    console.print(f"Checkpoint {card.id} ({card.name}) in {path}; all files are whole", highlight=False)
    _print_card(console, card)
    _print_ids(console, card, [] if path == bundled_checkpoint_path() else [f"PHOTOCHROM_CHECKPOINT={path}"])


def _print_card(console: Console, card: Card) -> None:
    for head in card.heads:
        console.print(f"  head {head}{DEFAULT * (head == card.head)}", highlight=False)
    for name, embedding in card.embeddings.items():
        default = DEFAULT * (name == card.embedding)
        console.print(
            f"  embedding {name}{default}: {embedding['architecture']}, {embedding['weights']}", highlight=False
        )
    for name, values in card.figures.items():
        if isinstance(values, dict) and "r2" in values:
            console.print(f"  {name}: R2 {values['r2']:.3f}, PSNR {values['psnr']:.2f} dB", highlight=False)
    for limit in card.limits:
        console.print(f"  {limit}", highlight=False)


def _print_ids(console: Console, card: Card, settings: list[str]) -> None:
    """Print every id that a worker with this checkpoint can have. `settings`: variables that each such worker needs."""
    console.print("\nphotochrom review JOB redo KEY --checkpoint ID is done by a worker with these settings:")
    width = max(map(len, card.variants()))
    for id, (head, embedding) in card.variants().items():
        more = [f"PHOTOCHROM_HEAD={head}"] * (head != card.head)
        more += [f"PHOTOCHROM_EMBEDDING={embedding}"] * (embedding != card.embedding)
        line = " ".join(settings + more) or "the defaults"
        console.print(f"  {id:{width}}  {line}", highlight=False, soft_wrap=True)
    console.print("photochrom status --workers shows the id of each running worker.")
