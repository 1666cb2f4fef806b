"""`photochrom bench`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from scheduler.bench import machine
from scheduler.bench.figures import Figure, figures_table
from scheduler.bench.run import MORE_PARTS, PARTS, run
from scheduler.bench.sizes import Sizes
from scheduler.cli.common import print_json
from scheduler.cli.options import Json
from worker.errors import UsageError
from worker.settings.settings import load_settings

Parts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PART]...",
        help=f"Of {', '.join((*PARTS, *MORE_PARTS))}. Leave out to measure all but {', '.join(MORE_PARTS)}.",
        autocompletion=lambda: (*PARTS, *MORE_PARTS),
    ),
]
Scans = Annotated[
    int, typer.Option(min=16, max=1_000_000, help="Parts worker, scale and peers: scans colourized by the model.")
]
HostScans = Annotated[int, typer.Option(min=16, max=1_000_000, help="Part host: scans colourized without a model.")]
MemoryScans = Annotated[int, typer.Option(min=20, max=1_000_000, help="Part memory: scans colourized.")]
Rows = Annotated[int, typer.Option(min=64, max=100_000_000, help="Part rows: scans recorded, without pixels.")]
Chunks = Annotated[int, typer.Option(min=3, max=10_000, help="Part boundaries: chunks of scans.")]
Megapixels = Annotated[float, typer.Option(min=0.01, max=1000, help="Size of the JPEG scans.")]
ComposeMegapixels = Annotated[float, typer.Option(min=0.01, max=1000, help="Part compose: size of the JPEG.")]
TiffMegapixels = Annotated[float, typer.Option(min=0.01, max=1000, help="Part tiff: size of the TIFFs.")]
LargeMegapixels = Annotated[float, typer.Option(min=0.01, max=10_000, help="Part memory: size of the TIFF.")]
BatchSizes = Annotated[str, typer.Option(help="Part model: numbers of scans in a batch, separated by commas.")]
TurnSeconds = Annotated[
    float, typer.Option(min=0.05, max=20, help="How long one side works before the other side takes its turn.")
]
Turns = Annotated[
    int, typer.Option(min=1, max=1000, help="Parts model, compose and train: how many turns each side takes.")
]
Variants = Annotated[
    bool,
    typer.Option(
        "--variants", help="Part model: also measure without oneDNN, with XLA, and with other numbers of threads."
    ),
]
PostgresqlUrl = Annotated[
    str | None,
    typer.Option(help="Part rows: also measure this PostgreSQL database, which must be empty, after SQLite."),
]
Folder = Annotated[
    Path | None,
    typer.Option(help="Folder for some gigabytes, which are removed at the end; default: the temporary folder."),
]

app = typer.Typer()


@app.command()
def bench(
    parts: Parts = None,
    scans: Scans = 192,
    host_scans: HostScans = 512,
    memory_scans: MemoryScans = 2_000,
    rows: Rows = 100_000,
    chunks: Chunks = 12,
    megapixels: Megapixels = 1.0,
    compose_megapixels: ComposeMegapixels = 12.0,
    tiff_megapixels: TiffMegapixels = 50.0,
    large_megapixels: LargeMegapixels = 100.0,
    batch_sizes: BatchSizes = "1,2,4,8,16",
    turn_seconds: TurnSeconds = 5.0,
    turns: Turns = 5,
    variants: Variants = False,
    postgresql_url: PostgresqlUrl = None,
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Measure how fast this machine is.

    Each figure compares two sides, which take turns, so that other load on the machine slows both. The defaults take
    about half an hour on two cores. The exit status is 1 if a figure misses its limit.
    """
    options = locals()
    sizes = Sizes(
        **{name: options[name] for name in Sizes.__dataclass_fields__ if name in options} | _batch_sizes(batch_sizes)
    )
    _measure(parts or PARTS, sizes, json=json, folder=folder, postgresql_url=postgresql_url, variants=variants)


def _measure(parts: list[str] | tuple[str, ...], sizes: Sizes, *, json: bool, **options: Any) -> None:
    settings, machine_facts = load_settings(), machine.described()
    figures: list[Figure] = []
    try:
        # Progress is not the result: it goes to standard error.
        with Console(stderr=True).status("") as status:
            figures.extend(run(parts, sizes, settings, say=status.update, **options))
    finally:
        # Also printed if the bench was stopped or a part failed, because the other parts took long.
        if json:
            figure_rows = [asdict(figure) for figure in figures]
            print_json({"machine": machine_facts, "sizes": asdict(sizes), "figures": figure_rows})
        elif figures:
            _print(figures, machine_facts)
    raise typer.Exit(0 if all(figure.holds(figure.must) for figure in figures) else 1)


def _print(figures: list[Figure], machine_facts: dict[str, object]) -> None:
    console = Console()
    console.print("; ".join(f"{name} {value}" for name, value in machine_facts.items()), highlight=False)
    console.print(figures_table(figures))


def _batch_sizes(text: str) -> dict[str, tuple[int, ...]]:
    """The sizes from a text with commas. Raises UsageError for any other text."""
    words = text.split(",")
    if not all(word.strip().isdecimal() and 1 <= int(word[:9]) <= 4096 for word in words):
        raise UsageError(
            f"--batch-sizes {text}: expected numbers from 1 to 4,096, separated by commas, such as 1,2,4,8"
        )
    return {"batch_sizes": tuple(int(word) for word in words)}
