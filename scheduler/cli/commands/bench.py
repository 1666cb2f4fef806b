"""The command that measures this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from scheduler.cli.options import Json

if TYPE_CHECKING:
    from scheduler.bench.figures import Figure

_PARTS = "model, worker, host, boundaries, scale, rows, compose, memory; all of them without any."


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operation")(bench)


def bench(
    parts: Annotated[Optional[list[str]], typer.Argument(metavar="[PART]...", help=_PARTS)] = None,  # noqa: UP045
    scans: Annotated[int, typer.Option(min=16, help="Through a worker with the model: parts worker, scale.")] = 192,
    host_scans: Annotated[int, typer.Option(min=16, help="Through a worker with a stand-in: part host.")] = 512,
    memory_scans: Annotated[int, typer.Option(min=20, help="Part memory.")] = 2_000,
    rows: Annotated[int, typer.Option(min=64, help="Scans without pixels: part rows.")] = 100_000,
    chunks: Annotated[int, typer.Option(min=3, help="Part boundaries.")] = 12,
    megapixels: Annotated[float, typer.Option(min=0.01, help="Of the JPEG scans.")] = 1.0,
    compose_megapixels: Annotated[float, typer.Option(min=0.01, help="Of the JPEG of part compose.")] = 12.0,
    large_megapixels: Annotated[float, typer.Option(min=0.01, help="Of the TIFF of part memory.")] = 100.0,
    batch_sizes: Annotated[str, typer.Option(help="Of part model.")] = "1,2,4,8,16",
    turn_seconds: Annotated[
        float, typer.Option(min=0.05, max=20, help="How long one side works before what it is compared with does.")
    ] = 5.0,
    turns: Annotated[int, typer.Option(min=1, help="Of parts model and compose.")] = 5,
    variants: Annotated[
        bool, typer.Option("--variants", help="Part model: also without oneDNN, with XLA, other thread counts.")
    ] = False,
    postgresql_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Part rows: an empty PostgreSQL database, to be measured after SQLite."),
    ] = None,
    folder: Annotated[Optional[Path], typer.Option(help="Where it works; some gigabytes, removed at the end.")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Measure this machine: each figure a ratio, its two sides taking turns in one run."""
    from dataclasses import asdict

    from rich.console import Console

    from scheduler.bench import machine
    from scheduler.bench.run import PARTS, run
    from scheduler.bench.sizes import Sizes
    from scheduler.cli import common

    sizes = Sizes(
        scans=scans,
        host_scans=host_scans,
        memory_scans=memory_scans,
        rows=rows,
        megapixels=megapixels,
        compose_megapixels=compose_megapixels,
        large_megapixels=large_megapixels,
        turn_seconds=turn_seconds,
        turns=turns,
        chunks=chunks,
        batch_sizes=_numbers(batch_sizes),
    )
    settings, about = common.settings(), machine.described()
    figures: list[Figure] = []
    try:
        # The words on the way are not the result: they go to standard error.
        with Console(stderr=True).status("") as status:
            for figure in run(
                parts or PARTS,
                sizes,
                settings,
                say=status.update,
                folder=folder,
                postgresql_url=postgresql_url,
                variants=variants,
            ):
                figures.append(figure)
    finally:
        # Also where it was stopped, or a part failed: the others took long enough.
        if json:
            common.print_json({"machine": about, "sizes": asdict(sizes), "figures": [asdict(each) for each in figures]})
        elif figures:
            _print(figures, about)
    raise typer.Exit(0 if all(figure.holds(figure.must) for figure in figures) else 1)


def _print(figures: list[Figure], about: dict[str, object]) -> None:
    from scheduler.bench.figures import figures_table
    from scheduler.cli import common

    console = common.console()
    console.print("; ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    console.print(figures_table(figures))


def _numbers(text: str) -> tuple[int, ...]:
    """Raises UsageError for what is no list of numbers."""
    from worker.errors import UsageError

    numbers = [int(word) for word in text.split(",") if word.strip().isdigit()]
    if not numbers or 0 in numbers or len(numbers) != text.count(",") + 1:
        raise UsageError(f"--batch-sizes {text}: expected numbers from 1 on, such as 1,2,4,8")
    return tuple(numbers)
