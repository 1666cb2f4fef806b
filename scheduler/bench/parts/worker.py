"""A worker end to end, compared with the model alone on the same scans in memory, and with a plain script."""

from collections.abc import Iterator, Mapping

from scheduler.bench.figures import Figure
from scheduler.bench.parts.model import load
from scheduler.bench.pool import BUCKET, SOURCE, Pool
from scheduler.bench.probe import Probe
from scheduler.bench.rates import Line, Sum, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench

_DIFFERENT_SCANS = 12
_CHUNK_SCANS = 16  # so small that a job of a hundred scans keeps every child busy


def measure(bench: Bench) -> Iterator[Figure]:
    paths = make_scans(bench.folder / "made", _DIFFERENT_SCANS, bench.sizes.megapixels)
    batch = bench.batch_size
    with Pool(bench.folder / "worker", chunk_scans=_CHUNK_SCANS) as pool, Probe("worker.bench.model") as model:
        keys = pool.put(paths, bench.sizes.scans)
        load(model, bench, (1, batch))
        model.ask("take", paths=[str(path.resolve()) for path in paths])
        pool.start_worker("worker", own_settings(bench))
        outputs = pool.submit()
        bench.say("worker: starting")
        outputs.wait_for(1)
        line, alone, script = Line(), Sum(), Sum()
        # The last batches are not full, so the end of the job is not measured.
        while outputs.count() < max(2, outputs.expected - 2 * batch):
            bench.say(f"worker: {outputs.count()} of {outputs.expected} scans")
            outputs.follow(line, bench.sizes.turn_seconds)
            pool.hold_still("worker")
            alone.add(model.ask("predict", batch=batch, seconds=bench.sizes.turn_seconds))
            script.add(
                model.ask(
                    "script",
                    source=SOURCE,
                    destination=f"s3://{BUCKET}/script",
                    keys=keys,
                    endpoint_url=pool.s3.endpoint_url,
                    seconds=bench.sizes.turn_seconds,
                )
            )
            pool.let_go_on("worker")
        outputs.wait_for(outputs.expected)
    worker = line.per_second()
    size = f"{bench.sizes.megapixels:g}-megapixel JPEGs, S3 to S3"
    detail = f"{worker:.2f} scans/s of {alone.per_second:.2f}; {size}"
    yield Figure(
        "worker", "end to end / model alone", ratio(worker, alone.per_second), must=0.92, aim=0.98, detail=detail
    )
    detail = f"{worker:.2f} scans/s; the script {script.per_second:.2f}"
    yield Figure("worker", "end to end / script", ratio(worker, script.per_second), must=1.3, aim=2.0, detail=detail)


def own_settings(bench: Bench, **settings: str) -> Mapping[str, str]:
    """Settings of a worker: with the model, or with a stand-in if the bench is only tried out."""
    stub_model = {} if bench.sizes.model else {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "200"}
    batch_size = str(bench.batch_size)
    return {"PHOTOCHROM_CHILDREN": str(bench.cores), "PHOTOCHROM_BATCH_SIZE": batch_size, **stub_model, **settings}
