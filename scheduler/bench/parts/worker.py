"""A worker end to end, compared with the model alone on the same scans in memory, and with plain scripts.

A script computes in float32, as a plain loop over the network does, unless PHOTOCHROM_PRECISION is set.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from scheduler.bench.figures import Figure
from scheduler.bench.parts.model import load, script_precision
from scheduler.bench.pool import BUCKET, SOURCE, Pool
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Line, Sum, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_DIFFERENT_SCANS = 12
_PAPER_PX = 400  # the side at which the paper's network sees a scan
_CHUNK_SCANS = 16  # so small that a job of a hundred scans keeps every child busy


def measure(bench: Bench) -> Iterator[Figure]:
    paths = make_scans(bench.folder / "made", _DIFFERENT_SCANS, bench.sizes.megapixels)
    batch = bench.batch_size
    with ExitStack() as opened:
        pool = opened.enter_context(Pool(bench.folder / "worker", chunk_scans=_CHUNK_SCANS))
        model, script, papers = (opened.enter_context(Probe("worker.bench.model")) for _ in range(3))
        keys = pool.put(paths, bench.sizes.scans)
        input_px = load(model, bench, (batch,))["input_px"]
        load(script, bench, (1,), script_precision(bench))
        load(papers, bench, (1,), script_precision(bench), _PAPER_PX)
        model.ask("take", paths=[str(path.resolve()) for path in paths])
        pool.start_worker("worker", own_settings(bench))
        outputs = pool.submit()
        bench.say("worker: starting")
        outputs.wait_for(1)
        line, alone, scripts = Line(), Sum(), {input_px: Sum(), _PAPER_PX: Sum()}
        # The last batches are not full, so the end of the job is not measured.
        while outputs.count() < max(2, outputs.expected - 2 * batch):
            bench.say(f"worker: {outputs.count()} of {outputs.expected} scans")
            outputs.follow(line, bench.sizes.turn_seconds)
            pool.hold_still("worker")
            alone.add(model.ask("predict", batch=batch, seconds=bench.sizes.turn_seconds))
            for side, probe in {input_px: script, _PAPER_PX: papers}.items():
                scripts[side].add(_script(pool, probe, keys, bench.sizes.turn_seconds))
            pool.let_go_on("worker")
        outputs.wait_for(outputs.expected)
    yield from _figures(bench, line.per_second(), alone, scripts)


def _script(pool: Pool, probe: Probe, keys: Sequence[str], seconds: float) -> dict[str, float]:
    destination, endpoint_url = f"s3://{BUCKET}/script", pool.s3.endpoint_url
    turn: dict[str, float] = probe.ask(
        "script", source=SOURCE, destination=destination, keys=keys, endpoint_url=endpoint_url, seconds=seconds
    )
    return turn


def _figures(bench: Bench, worker: float, alone: Sum, scripts: Mapping[int, Sum]) -> Iterator[Figure]:
    size = f"{bench.sizes.megapixels:g}-megapixel JPEGs, S3 to S3"
    detail = f"{worker:.2f} scans/s of {alone.per_second:.2f}; {size}"
    yield Figure(
        "worker", "end to end / model alone", ratio(worker, alone.per_second), must=0.92, aim=0.98, detail=detail
    )
    limits = zip(scripts.items(), ((1.1, 1.3), (1.8, 2.5)), strict=False)
    for (side, script), (must, aim) in limits:
        yield Figure(
            "worker", f"end to end / a script that shows the model {side} px", ratio(worker, script.per_second),
            must=must, aim=aim, detail=f"{worker:.2f} scans/s; the script {script.per_second:.2f}",
        )  # fmt: skip


def own_settings(bench: Bench, **settings: str) -> Mapping[str, str]:
    """The settings of a worker: with the model, or with a stub if the bench is only tried out."""
    stub_model = {} if bench.sizes.model else {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "200"}
    batch_size = str(bench.batch_size)
    return {"PHOTOCHROM_CHILDREN": str(bench.cores), "PHOTOCHROM_BATCH_SIZE": batch_size, **stub_model, **settings}
