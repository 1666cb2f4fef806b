"""A worker's resident memory: after many scans, and while it works on a very large one."""

import time
from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.pool import Outputs, Pool
from scheduler.bench.rates import middle, ratio
from scheduler.bench.sample_scans import make_scans, make_tiff
from scheduler.bench.sizes import Bench

_MB = 1e6
_CHUNK_SCANS = 32
_LOOK_SECONDS = 0.05
_LARGE_SECONDS = 600  # the longest wait for the TIFF
_LIMITS_MB = ((100, (800.0, 300.0)), (float("inf"), (1000.0, 400.0)))  # up to this many megapixels: must, aim


def measure(bench: Bench) -> Iterator[Figure]:
    count = bench.sizes.memory_scans
    paths = make_scans(bench.folder / "made", 12, bench.sizes.megapixels)
    with Pool(bench.folder / "memory", chunk_scans=_CHUNK_SCANS) as pool:
        pool.put(paths, count)
        settings = {"PHOTOCHROM_CHILDREN": str(bench.cores), "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "2"}
        pool.start_worker("worker", settings)
        outputs = pool.submit()
        early = _around(bench, pool, outputs, count // 10)
        late = _around(bench, pool, outputs, count - count // 10)
        outputs.wait_for(count)
        yield Figure(
            "memory", f"resident memory after {count:,} scans, against after {count // 10:,}",
            ratio(late, early) - 1, "%", must=0.03, aim=0.0, lower_is_better=True,
            detail=f"{early / _MB:.0f} and {late / _MB:.0f} MB: supervisor, Celery, {bench.cores} children, stand-in",
        )  # fmt: skip
        yield from _large(bench, pool)


def _around(bench: Bench, pool: Pool, outputs: Outputs, count: int) -> float:
    """The median memory in bytes, from output number `count` on, while a tenth of all outputs is made."""
    upto = min(count + max(1, outputs.expected // 10), outputs.expected)
    outputs.wait_for(count)
    seen = [pool.memory_bytes("worker")]  # at least one value, even if the outputs come quickly
    while outputs.count() < upto:
        bench.say(f"memory: {outputs.count()} of {outputs.expected} scans")
        time.sleep(_LOOK_SECONDS)
        seen.append(pool.memory_bytes("worker"))
    return middle(seen)


def _large(bench: Bench, pool: Pool) -> Iterator[Figure]:
    megapixels = bench.sizes.large_megapixels
    must, aim = next(limits for largest, limits in _LIMITS_MB if megapixels <= largest)
    pool.put([make_tiff(bench.folder / "made" / "large.tif", megapixels)], 1)
    before = peak = pool.memory_bytes("worker")
    outputs = pool.submit(only=["*.tif"])
    began = time.monotonic()
    while outputs.count() < 1 and time.monotonic() < began + _LARGE_SECONDS:
        bench.say(f"memory: a TIFF of {megapixels:g} megapixels")
        peak = max(peak, pool.memory_bytes("worker"))
        time.sleep(_LOOK_SECONDS)
    outputs.wait_for(1, seconds=1)
    took = time.monotonic() - began
    yield Figure(
        "memory", f"resident memory while a {megapixels:g}-megapixel 16-bit TIFF passes", (peak - before) / _MB, "MB",
        must=must, aim=aim, lower_is_better=True, detail=f"{before / _MB:.0f} and {peak / _MB:.0f} MB, {took:.0f} s",
    )  # fmt: skip
