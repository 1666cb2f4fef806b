"""The memory that a submission takes to compare with a destination of ten million outputs.

python -m tests.bench.existing_outputs --outputs 10000000
"""

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import closing

from scheduler.submission.key_spool import KeySpool

PAGE = 4_096


def listing(count: int) -> Iterator[tuple[str, int]]:
    """Keys and sizes in the order of a listing."""
    return ((f"collection/box-{number // 1000:05}/{number:09}.tif", 90_000_000) for number in range(count))


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.existing_outputs", description=__doc__)
    parser.add_argument("--outputs", type=int, default=10_000_000)
    asked = parser.parse_args()
    before, began = resident_mb(), time.monotonic()
    with closing(KeySpool()) as spool:
        spool.add(listing(asked.outputs))
        listed = time.monotonic() - began
        keys = [key for key, _ in listing(PAGE)]
        began = time.monotonic()
        assert len(spool.sizes(keys)) == min(PAGE, asked.outputs)
    print(
        f"{asked.outputs:,} outputs: {resident_mb() - before:,.0f} MB more than before, at most {resident_mb():,.0f} MB"
    )
    print(f"kept in {listed:,.0f} s; a page of {PAGE:,} compared in {(time.monotonic() - began) * 1000:,.0f} ms")


if __name__ == "__main__":
    main()
