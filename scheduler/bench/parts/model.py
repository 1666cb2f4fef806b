"""The bare network at several batch sizes, compared with a large matrix product on the same cores."""

from collections.abc import Iterator
from typing import Any

from scheduler.bench.figures import Figure
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Sum, ratio
from scheduler.bench.sizes import Bench
from worker.errors import ServiceUnavailable

_SIDE = 2048

# Environment variables for TensorFlow, and a precision. Each variant is compared with the unchanged model.
VARIANTS: dict[str, tuple[dict[str, str], str | None]] = {
    "in float32": ({}, "float32"),
    "in bfloat16": ({}, "bfloat16"),
    "in 8 bits": ({}, "int8"),
    "without oneDNN": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, None),
    "XLA (auto-clustering)": ({"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}, None),
    "1 thread in an operation": ({"TF_NUM_INTRAOP_THREADS": "1"}, None),
    "4 threads in an operation": ({"TF_NUM_INTRAOP_THREADS": "4"}, None),
    "1 operation at once": ({"TF_NUM_INTEROP_THREADS": "1"}, None),
}


def measure(bench: Bench) -> Iterator[Figure]:
    with Probe("worker.bench.model") as model:
        info = load(model, bench, bench.sizes.batch_sizes)
        yield from _batch_sizes(bench, model, info["gflop_per_scan"], info["precision"])
    if bench.variants:
        yield from _variants(bench)


def load(
    model: Probe, bench: Bench, sizes: tuple[int, ...], precision: str | None = None, input_px: int | None = None
) -> dict[str, Any]:
    """Load the checkpoint of the settings into the probe. Returns the probe's answer."""
    options = model_options(bench)
    options |= {"precision": precision or options["precision"], "input_px": input_px or options["input_px"]}
    bench.say("loading the model")
    answer: dict[str, Any] = model.ask("load", sizes=list(sizes), **options)
    return answer


def script_precision(bench: Bench) -> str:
    """What a plain loop over the network computes in, unless the settings say something else."""
    return bench.settings.precision or "float32"


def model_options(bench: Bench) -> dict[str, Any]:
    """The settings' checkpoint, and how it is to be used."""
    settings = bench.settings
    return {
        "checkpoint": str(settings.checkpoint_folder.resolve()),
        "embedding": settings.embedding,
        "head": settings.head,
        "precision": settings.precision,
        "input_px": settings.input_px,
        "int8_folder": str(settings.model_options.int8_folder),
    }


def _batch_sizes(bench: Bench, model: Probe, gflop: float, precision: str) -> Iterator[Figure]:
    sums = {size: Sum() for size in bench.sizes.batch_sizes}
    product = Sum()
    for _ in range(bench.sizes.turns):
        for size, total in sums.items():
            bench.say(f"model: batches of {size}")
            total.add(model.ask("predict", batch=size, seconds=bench.sizes.turn_seconds / len(sums)))
            product.add(model.ask("multiply", side=_SIDE, seconds=bench.sizes.turn_seconds / len(sums) / 4))
    for size, total in sums.items():
        reached = total.per_second * gflop
        yield Figure("model", f"scans per second in batches of {size}", total.per_second, "/s", detail=precision)
        yield Figure(
            "model",
            f"GFLOP/s in batches of {size} / of a matrix product",
            ratio(reached, product.per_second),
            detail=f"{reached:.0f} of {product.per_second:.0f} GFLOP/s; {gflop:.1f} GFLOP a scan",
        )


def _variants(bench: Bench) -> Iterator[Figure]:
    size = bench.batch_size
    with Probe("worker.bench.model") as as_it_is:
        load(as_it_is, bench, (size,))
        for name, (environment, precision) in VARIANTS.items():
            bench.say(f"model: {name}")
            try:
                sums = _beside(as_it_is, environment, precision, bench)
            except ServiceUnavailable as error:  # some variants don't run everywhere; the others are still measured
                yield Figure("model", f"{name} / as it is", float("nan"), detail=error.message)
                continue
            detail = f"{sums[1].per_second:.2f} of {sums[0].per_second:.2f} scans/s in batches of {size}"
            yield Figure("model", f"{name} / as it is", ratio(sums[1].per_second, sums[0].per_second), detail=detail)


def _beside(as_it_is: Probe, environment: dict[str, str], precision: str | None, bench: Bench) -> tuple[Sum, Sum]:
    """Measure the unchanged model and a variant in turns. Raises ServiceUnavailable if the variant does not run."""
    sums = Sum(), Sum()
    with Probe("worker.bench.model", environment) as other:
        load(other, bench, (bench.batch_size,), precision)
        for _ in range(bench.sizes.turns):
            for probe, total in zip((as_it_is, other), sums, strict=True):
                total.add(probe.ask("predict", batch=bench.batch_size, seconds=bench.sizes.turn_seconds / 4))
    return sums
