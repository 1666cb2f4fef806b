"""The parts of the bench, one after the other."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from scheduler.bench.figures import Figure
from scheduler.bench.sizes import Bench, Sizes
from worker.errors import UsageError
from worker.settings.settings import Settings
from worker.system.machine import available_cores

PARTS = ("model", "worker", "host", "boundaries", "scale", "rows", "compose", "tiff", "memory", "train")
MORE_PARTS = ("peers",)  # measured only where they are named: they need packages of their own


def run(
    parts: Sequence[str],
    sizes: Sizes,
    settings: Settings,
    *,
    say: Callable[[str], None],
    folder: Path | None = None,
    postgresql_url: str | None = None,
    variants: bool = False,
) -> Iterator[Figure]:
    """Yields each figure when it is measured. Raises UsageError for an unknown part, and ServiceUnavailable."""
    known = (*PARTS, *MORE_PARTS)
    if unknown := set(parts) - set(known):
        raise UsageError(f"{', '.join(sorted(unknown))}: expected of {', '.join(known)}")
    for part in parts:
        # Each part has its own folder, which is removed after it, so that it disturbs no later part and does not fill
        # the disk.
        with tempfile.TemporaryDirectory(prefix="photochrom-bench-", dir=folder) as part_folder:
            bench = Bench(
                Path(part_folder), sizes, settings, max(1, round(available_cores())), say, postgresql_url, variants
            )
            yield from import_module(f"scheduler.bench.parts.{part}").measure(bench)
