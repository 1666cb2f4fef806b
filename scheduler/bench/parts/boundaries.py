"""The share of time in which the device is idle while one chunk follows another."""

import time
from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.pool import Pool
from scheduler.bench.rates import ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_DEVICE_SCANS_PER_SECOND = 15.0  # of one megapixel: half of what two cores could feed
_LOOK_SECONDS = 0.005


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure the share of time in which the device is idle.

    The device is so slow that the host could feed two of them. So if it is idle, chunks are handed out too late.
    """
    batch, chunk_scans = bench.batch_size, bench.settings.chunk_scans
    pace = _DEVICE_SCANS_PER_SECOND * bench.cores / 2 / max(0.1, bench.sizes.megapixels)
    milliseconds = 1000 * batch / pace
    paths = make_scans(bench.folder / "made", 4, bench.sizes.megapixels)
    with Pool(bench.folder / "boundaries", chunk_scans=chunk_scans) as pool:
        pool.put(paths, chunk_scans * bench.sizes.chunks)
        pool.start_worker(
            "worker",
            {
                "PHOTOCHROM_CHILDREN": str(bench.cores),
                "PHOTOCHROM_BATCH_SIZE": str(batch),
                "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": f"{milliseconds:.0f}",
            },
        )
        outputs = pool.submit()
        outputs.wait_for(1)
        bench.say(f"boundaries: {bench.sizes.chunks} chunks of {chunk_scans} scans")
        first, last = _watch(pool, until=outputs.expected - 2 * batch)
    seconds = last[0] - first[0]
    batches, scans = last[1]["batches"] - first[1]["batches"], last[1]["scans"] - first[1]["scans"]
    idle = 1 - ratio(last[1]["busy_seconds"] - first[1]["busy_seconds"], seconds)
    yield Figure(
        "boundaries", "device's idle share across chunks", max(0.0, idle), "%", must=0.05, aim=0.01,
        lower_is_better=True,
        detail=f"{batches:.0f} batches of {milliseconds:.0f} ms in {seconds:.1f} s, {scans / chunk_scans:.1f} chunks",
    )  # fmt: skip
    yield Figure("boundaries", "places of those batches that held a scan", ratio(scans, batches * batch), "%")


Look = tuple[float, dict[str, float]]


def _watch(pool: Pool, *, until: int) -> tuple[Look, Look]:
    """The counters at the end of the first batch that ends here, and at the end of the last batch before the work is
    finished.
    """
    looks: list[Look] = []
    while True:
        now, counters = time.monotonic(), pool.device("worker")
        if not looks or counters["batches"] > looks[-1][1]["batches"]:
            looks.append((now, counters))
        if counters["scans"] >= until and len(looks) > 2:
            return looks[1], looks[-1]
        pool.system.check()
        time.sleep(_LOOK_SECONDS)
