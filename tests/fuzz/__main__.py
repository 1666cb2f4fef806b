"""`make fuzz`: 5 000 hostile files through a real worker, or as many as are asked for."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photochrom-fuzz-") as folder:
        outcome = fuzz(Path(folder), asked.files, asked.seed, limit_seconds=60 + asked.files * 0.5)
    for way, count in outcome.ways.most_common():
        print(f"{count:7,}  {way}")
    print(f"{outcome.ways.total():7,}  files, which ended as")
    for code, count in outcome.ends.most_common():
        print(f"{count:7,}  {code}")
    took = f"in {outcome.seconds:.0f} s, the slowest {outcome.slowest_seconds:.1f} s"
    held = f"the worker held {outcome.most_bytes / 1e6:.0f} MB more than at its start"
    print(f"{outcome.ends.total():7,}  scans {took}; {held}")
    for fault in outcome.faults[:20]:
        print(f"FAULT    {fault}")
    print(f"{len(outcome.faults):7,}  faults")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
