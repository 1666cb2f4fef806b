"""`photochrom train`, beside the bare training step on batches that are ready."""

from collections.abc import Iterator

from scheduler.bench.figures import Figure
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Sum, ratio
from scheduler.bench.sizes import Bench


def measure(bench: Bench) -> Iterator[Figure]:
    sizes = {"side_px": 16, "batch_size": 2} if not bench.sizes.model else {}
    with Probe("worker.bench.training") as training:
        bench.say("building the network in training")
        used = training.ask("load", **sizes)
        bare, train = Sum(), Sum()
        for _ in range(bench.sizes.turns):
            bench.say("train: the bare step, and photochrom train")
            bare.add(training.ask("bare", seconds=bench.sizes.turn_seconds))
            train.add(training.ask("train", seconds=bench.sizes.turn_seconds))
    crops = used["batch_size"]
    batches = f"{crops} crops of {used['side_px']} px"
    detail = f"{crops * train.per_second:.1f} and {crops * bare.per_second:.1f} crops/s; batches of {batches}"
    yield Figure(
        "train", "train / bare training step", ratio(train.per_second, bare.per_second), must=0.9, aim=0.98,
        detail=detail,
    )  # fmt: skip
    cpu = f"{1000 * ratio(1, bare.per_cpu_second):.0f} of {1000 * ratio(1, train.per_cpu_second):.0f} ms a step"
    yield Figure(
        "train", "processor time of the bare step / of train", ratio(train.per_cpu_second, bare.per_cpu_second),
        detail=cpu,
    )  # fmt: skip
