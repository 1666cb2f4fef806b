"""A worker's processor time for large 16-bit TIFFs, beside what libvips alone takes to read and write them."""

from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.pool import Pool
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Sum, ratio
from scheduler.bench.sample_scans import make_tiff
from scheduler.bench.sizes import Bench

_COMPRESSIONS = ("deflate", "lzw", "none")
_SCANS = 2  # of each compression
_MUST, _AIM = 1.5, 1.2  # with deflate
_SECONDS = 600
_FIRST_MEGAPIXELS = 0.1


def measure(bench: Bench) -> Iterator[Figure]:
    settings = {"PHOTOCHROM_CHILDREN": "1", "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "2"}
    with Pool(bench.folder / "tiff", chunk_scans=_SCANS) as pool:
        pool.start_worker("worker", settings)
        # The first scan of a child costs more: it loads libraries.
        pool.put([make_tiff(bench.folder / "made" / "first.tif", _FIRST_MEGAPIXELS)], 1, "first-")
        pool.submit(only=["first-*"]).wait_for(1)
        for compression in _COMPRESSIONS:
            yield _beside_libvips(bench, pool, compression)


def _beside_libvips(bench: Bench, pool: Pool, compression: str) -> Figure:
    megapixels = bench.sizes.tiff_megapixels
    bench.say(f"tiff: {megapixels:g} megapixels, {compression}")
    path = make_tiff(bench.folder / "made" / f"{compression}.tif", megapixels, compression)
    pool.put([path], _SCANS, f"{compression}-")
    before = pool.cpu_seconds("worker")
    outputs = pool.submit(only=[f"{compression}-*"], format="tiff", compression=compression)
    outputs.wait_for(_SCANS, seconds=_SECONDS)
    used = (pool.cpu_seconds("worker") - before) / _SCANS
    pool.hold_still("worker")
    alone = Sum()
    with Probe("worker.bench.host") as host:
        host.ask("take_tiff", path=str(path), output=str(outputs.paths()[0]), compression=compression)
        for _ in range(_SCANS):
            alone.add(host.ask("libvips_alone", seconds=0))
    pool.let_go_on("worker")
    has_limits = compression == "deflate"
    cost = 1 / alone.per_cpu_second
    return Figure(
        "tiff", f"a {megapixels:g}-megapixel 16-bit TIFF, {compression}: processor time of the worker / of libvips",
        ratio(used, cost), must=_MUST if has_limits else None, aim=_AIM if has_limits else None, lower_is_better=True,
        detail=f"{used:.2f} s and {cost:.2f} s a scan, S3 to S3 and file to file",
    )  # fmt: skip
