"""Composing and encoding, compared with encoding alone, in processor time. Each side is one thread on one core."""

from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Sum, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_MUST, _AIM = 0.25, 0.7


def measure(bench: Bench) -> Iterator[Figure]:
    for megapixels in sorted({bench.sizes.compose_megapixels, bench.sizes.megapixels}, reverse=True):
        [path] = make_scans(bench.folder / f"compose-{megapixels:g}", 1, megapixels)
        sums = {stage: Sum() for stage in ("encode", "compose", "open")}
        with Probe("worker.bench.host") as host:
            host.ask("take", paths=[str(path.resolve())])
            for _ in range(bench.sizes.turns):
                bench.say(f"compose: {megapixels:g} megapixels")
                for stage, total in sums.items():
                    total.add(host.ask(stage, seconds=bench.sizes.turn_seconds / 6))
        pace = {stage: total.per_cpu_second * megapixels for stage, total in sums.items()}
        large = megapixels == bench.sizes.compose_megapixels
        yield Figure(
            "compose", f"compose and encode / encode alone, {megapixels:g}-megapixel JPEG",
            ratio(pace["compose"], pace["encode"]), must=_MUST if large else None, aim=_AIM if large else None,
            detail=f"{pace['compose']:.0f} and {pace['encode']:.0f} MP/s a core; opening {pace['open']:.0f} MP/s",
        )  # fmt: skip
