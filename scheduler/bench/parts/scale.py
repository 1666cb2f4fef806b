"""One worker compared with two, each bound to one core."""

from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.parts.worker import own_settings
from scheduler.bench.pool import Pool
from scheduler.bench.rates import Line, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_CHUNK_SCANS = 16
_DIFFERENT_SCANS = 12
_NAMES = ("first", "second")


def measure(bench: Bench) -> Iterator[Figure]:
    """Compare one worker with two.

    Batches are small, so that outputs come evenly; on one core, small batches are as fast as large ones. A worker has
    its default number of children, because with only one child its core would be idle between two chunks, and then the
    delays of the services, which are longer when both cores have a worker, would count twice.
    """
    if bench.cores < len(_NAMES):
        bench.say("scale: this machine has one core, so there is nothing to measure")
        return
    paths = make_scans(bench.folder / "made", _DIFFERENT_SCANS, bench.sizes.megapixels)
    settings = own_settings(bench, PHOTOCHROM_BATCH_SIZE="4")
    lines = {names: Line() for names in [(_NAMES[0],), _NAMES, (_NAMES[1],)]}
    with Pool(bench.folder / "scale", chunk_scans=_CHUNK_SCANS) as pool:
        pool.put(paths, bench.sizes.scans)
        for core, name in enumerate(_NAMES):
            pool.start_worker(name, settings, cores=[core])
        outputs = pool.submit()
        outputs.wait_for(8)
        # Both workers have begun by now. Near the end, one of them may have nothing left to do.
        while outputs.count() < max(9, outputs.expected - 3 * _CHUNK_SCANS):
            for names in ((_NAMES[0],), _NAMES, (_NAMES[1],), _NAMES):
                bench.say(f"scale: {outputs.count()} of {outputs.expected} scans")
                for name in _NAMES:
                    (pool.let_go_on if name in names else pool.hold_still)(name)
                outputs.follow(lines[names], bench.sizes.turn_seconds)
        for name in _NAMES:
            pool.let_go_on(name)
    one = (lines[(_NAMES[0],)].per_second() + lines[(_NAMES[1],)].per_second()) / 2
    two = lines[_NAMES].per_second()
    yield Figure(
        "scale", "two workers on a core each / one", ratio(two, one), must=1.85, aim=1.98,
        detail=f"{two:.2f} and {one:.2f} scans/s; S3 server, broker and scheduler share these cores",
    )  # fmt: skip
