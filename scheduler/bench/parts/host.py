"""How many scans the host can feed to a device that takes no time, compared with the host's work on them alone."""

from collections.abc import Iterator
from contextlib import ExitStack

from scheduler.bench.figures import Figure
from scheduler.bench.pool import Pool
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Line, Sum, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_DIFFERENT_SCANS = 12
_CHUNK_SCANS = 32
_BATCH_MILLISECONDS = 2


def measure(bench: Bench) -> Iterator[Figure]:
    paths = make_scans(bench.folder / "made", _DIFFERENT_SCANS, bench.sizes.megapixels)
    stub_model = {
        "PHOTOCHROM_CHILDREN": str(bench.cores),
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": str(_BATCH_MILLISECONDS),
    }
    line, alone, together, opened, encoded = Line(), Sum(), Sum(), Sum(), Sum()
    with Pool(bench.folder / "host", chunk_scans=_CHUNK_SCANS) as pool, ExitStack() as probes:
        hosts = [probes.enter_context(Probe("worker.bench.host")) for _ in range(bench.cores)]
        for probe in hosts:
            probe.ask("take", paths=[str(path.resolve()) for path in paths])
        pool.put(paths, bench.sizes.host_scans)
        pool.start_worker("worker", stub_model)
        outputs = pool.submit()
        outputs.wait_for(bench.cores * 2)
        used, served, began = pool.cpu_seconds("worker"), pool.services_cpu_seconds(), outputs.count()
        service_seconds = 0.0
        while outputs.count() < max(2, outputs.expected - bench.cores * _CHUNK_SCANS // 2):
            bench.say(f"host: {outputs.count()} of {outputs.expected} scans")
            outputs.follow(line, bench.sizes.turn_seconds)
            pool.hold_still("worker")
            before = pool.services_cpu_seconds()
            alone.add(hosts[0].ask("all_of_it", seconds=bench.sizes.turn_seconds / 2))
            together.add(_at_once(hosts, bench.sizes.turn_seconds / 2))
            opened.add(hosts[0].ask("open", seconds=bench.sizes.turn_seconds / 6))
            encoded.add(hosts[0].ask("encode", seconds=bench.sizes.turn_seconds / 6))
            service_seconds += pool.services_cpu_seconds() - before
            pool.let_go_on("worker")
        scans = outputs.count() - began
        used, served = pool.cpu_seconds("worker") - used, pool.services_cpu_seconds() - served - service_seconds
        outputs.wait_for(outputs.expected)
    yield from _figures(bench, line.per_second(), alone, together, used / scans, served / scans)
    yield _beside_codecs(used / scans, opened, encoded)


def _at_once(probes: list[Probe], seconds: float) -> dict[str, float]:
    """The scans of all processes together, at the same time."""
    for probe in probes:
        probe.begin("all_of_it", seconds=seconds)
    turns = [probe.answer() for probe in probes]
    pace = sum(turn["scans"] / turn["seconds"] for turn in turns)
    longest = max(turn["seconds"] for turn in turns)
    return {"scans": pace * longest, "seconds": longest, "cpu_seconds": sum(turn["cpu_seconds"] for turn in turns)}


def _beside_codecs(used: float, opened: Sum, encoded: Sum) -> Figure:
    """A scan's cost, compared with the work that every program must do: decode the scan and encode its colours."""
    codecs = 1 / opened.per_cpu_second + 1 / encoded.per_cpu_second
    return Figure(
        "host", "processor time of the worker / of opening and encoding alone", ratio(used, codecs),
        must=1.9, aim=1.5, lower_is_better=True,
        detail=f"{used * 1000:.1f} ms a scan; opening {1000 / opened.per_cpu_second:.1f} ms, encoding "
        f"{1000 / encoded.per_cpu_second:.1f} ms",
    )  # fmt: skip


def _figures(bench: Bench, fed: float, alone: Sum, together: Sum, used: float, served: float) -> Iterator[Figure]:
    cost = alone.seconds / alone.scans
    size = f"{bench.sizes.megapixels:g}-megapixel JPEGs"
    yield Figure(
        "host", "scans fed per second / (cores / cost of one scan's host work)", ratio(fed, bench.cores / cost),
        must=0.8, aim=0.95, detail=f"{fed:.1f}/s; {cost * 1000:.0f} ms a scan alone, {bench.cores} cores; {size}",
    )  # fmt: skip
    yield Figure(
        "host", "scans fed per second / a process a core that does host work alone", ratio(fed, together.per_second),
        detail=f"{fed:.1f}/s; {together.per_second:.1f}/s",
    )  # fmt: skip
    cpu = (alone.cpu_seconds + together.cpu_seconds) / (alone.scans + together.scans)
    yield Figure(
        "host", "processor time of host work alone / of the worker", ratio(cpu, used),
        detail=f"{cpu * 1000:.1f} ms of {used * 1000:.1f} ms a scan; S3 server, broker and scheduler on the same "
        f"cores: {served * 1000:.1f} ms",
    )  # fmt: skip
