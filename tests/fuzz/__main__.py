"""`make fuzz`: 50 000 hostile files through a real worker, or as many as are asked for."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.run import Outcome, fuzz

_SLICE = 2_500  # files of one job database and one worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first 2,500 files; the next ones have the next")
    parser.add_argument("--kept", type=Path, help="a folder for the files that show a fault")
    arguments = parser.parse_args()
    whole = Outcome()
    for seed, files in _slices(arguments.seed, arguments.files):
        with tempfile.TemporaryDirectory(prefix="photochrom-fuzz-") as folder:
            kept = arguments.kept and arguments.kept / f"seed-{seed}"
            if kept:
                kept.mkdir(parents=True, exist_ok=True)
            outcome = fuzz(Path(folder), files, seed, limit_seconds=60 + files * 0.5, kept=kept)
        _add(whole, outcome, seed)
        print(f"seed {seed}: {outcome.ends.total():,} scans, {len(outcome.faults)} faults", flush=True)
    _show(whole)
    return 1 if whole.faults else 0


def _slices(seed: int, files: int) -> Iterator[tuple[int, int]]:
    """Seeds, each with the number of its files."""
    for number, start in enumerate(range(0, files, _SLICE)):
        yield seed + number, min(_SLICE, files - start)


def _add(whole: Outcome, outcome: Outcome, seed: int) -> None:
    whole.ways += outcome.ways
    whole.ends += outcome.ends
    whole.faults += [f"seed {seed}: {fault}" for fault in outcome.faults]
    whole.compared += outcome.compared
    whole.seconds += outcome.seconds
    for name in ("slowest_seconds", "most_bytes", "most_bytes_of_one"):
        setattr(whole, name, max(getattr(whole, name), getattr(outcome, name)))


def _show(outcome: Outcome) -> None:
    for way, count in outcome.ways.most_common():
        print(f"{count:7,}  {way}")
    print(f"{outcome.ways.total():7,}  files, which ended as")
    for code, count in outcome.ends.most_common():
        print(f"{count:7,}  {code}")
    print(f"{outcome.compared:7,}  outputs whose lightness was compared with another reader's")
    took = f"in {outcome.seconds:.0f} s, the slowest {outcome.slowest_seconds:.1f} s"
    grown = f"{outcome.most_bytes / 1e6:.0f} MB, one of its processes at most {outcome.most_bytes_of_one / 1e6:.0f} MB"
    print(f"{outcome.ends.total():7,}  scans {took}; the worker grew by {grown}")
    for fault in outcome.faults[:20]:
        print(f"FAULT    {fault}")
    print(f"{len(outcome.faults):7,}  faults")


if __name__ == "__main__":
    sys.exit(main())
