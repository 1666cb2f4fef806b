"""A worker beside Ray Data and a plain script with the same model and scans: pace, memory, and what faults cost."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from scheduler.bench.figures import Figure
from scheduler.bench.parts.worker import own_settings
from scheduler.bench.peers import Peer, RayPeer, ScriptPeer, WorkerPeer
from scheduler.bench.pool import Outputs, Pool
from scheduler.bench.process_tree import kill
from scheduler.bench.rates import Line, ratio
from scheduler.bench.sample_scans import make_scans
from scheduler.bench.sizes import Bench
from worker.errors import ServiceUnavailable
from worker.extras import expect_installed

_DIFFERENT_SCANS = 12
_CHUNK_SCANS = 16
_FAULT_SCANS = 24
_LEASE_SECONDS = "10"  # of the worker: this long after it is killed, its chunk is begun again
_SECONDS = 180  # the longest time that a peer may take for the scans of one fault
_LOOK_SECONDS = 0.05


def measure(bench: Bench) -> Iterator[Figure]:
    expect_installed("ray")
    paths = make_scans(bench.folder / "made", _DIFFERENT_SCANS, bench.sizes.megapixels)
    with tempfile.TemporaryDirectory(prefix="pcray") as folder:
        yield from _pace(bench, paths, Path(folder, "pace"))
        yield from _faults(bench, paths, Path(folder, "faults"))


def _pace(bench: Bench, paths: Sequence[Path], folder: Path) -> Iterator[Figure]:
    """Measure all three programs in turns; meanwhile the other two are stopped."""
    with Pool(bench.folder / "pace", chunk_scans=_CHUNK_SCANS) as pool, ExitStack() as opened:
        keys = pool.put(paths, bench.sizes.scans)
        peers: list[Peer] = [
            opened.enter_context(ScriptPeer(pool, bench)),
            opened.enter_context(RayPeer(pool, bench, folder)),
            WorkerPeer(pool),
        ]
        pool.start_worker("worker", own_settings(bench))
        lines, outputs = [Line() for _ in peers], list[Outputs]()
        for peer in peers:
            bench.say(f"peers: {peer.name} is starting")
            outputs.append(peer.colourize(keys, ""))
            outputs[-1].wait_for(bench.batch_size)
            peer.tree().hold_still()
        memory = [0.0 for _ in peers]
        while all(output.count() < output.expected - 2 * bench.batch_size for output in outputs):
            for number, peer in enumerate(peers):
                bench.say(f"peers: {peer.name}, {outputs[number].count()} of {len(keys)} scans")
                peer.tree().let_go_on()
                outputs[number].follow(lines[number], bench.sizes.turn_seconds)
                peer.tree().hold_still()
                memory[number] = max(memory[number], peer.tree().memory_bytes())
        for peer in peers:
            peer.tree().let_go_on()
    yield from _pace_figures(bench, peers, [line.per_second() for line in lines], memory)


def _pace_figures(bench: Bench, peers: list[Peer], paces: list[float], memory: list[float]) -> Iterator[Figure]:
    worker, size = paces[-1], f"{bench.sizes.megapixels:g}-megapixel JPEGs, S3 to S3"
    for peer, pace in zip(peers[:-1], paces, strict=False):
        yield Figure(
            "peers", f"scans per second: the worker / {peer.name}", ratio(worker, pace), must=1.1, aim=1.5,
            detail=f"{worker:.2f} and {pace:.2f} scans/s; {size}",
        )  # fmt: skip
    for peer, peak in zip(peers, memory, strict=True):
        yield Figure(
            "peers", f"most resident memory: {peer.name}", peak / 1e6, "MB", lower_is_better=True,
            detail="all its processes, what they share counted once; at the ends of its turns",
        )  # fmt: skip


def _faults(bench: Bench, paths: Sequence[Path], folder: Path) -> Iterator[Figure]:
    damaged = bench.folder / "made" / "damaged.jpg"
    damaged.write_bytes(paths[0].read_bytes()[: paths[0].stat().st_size // 2])
    with Pool(bench.folder / "faults", chunk_scans=_CHUNK_SCANS) as pool, ExitStack() as opened:
        sets = {
            "damaged": pool.put([*paths[1:4], damaged, *paths[5:9]], 8, "damaged-"),
            "model": pool.put(paths, _FAULT_SCANS, "model-"),
            "whole": pool.put(paths, _FAULT_SCANS, "whole-"),
        }
        pool.start_worker("worker", {**own_settings(bench), "PHOTOCHROM_LEASE_SECONDS": _LEASE_SECONDS})
        peers: list[Peer] = [
            WorkerPeer(pool),
            opened.enter_context(RayPeer(pool, bench, folder)),
            opened.enter_context(ScriptPeer(pool, bench)),
        ]
        for peer in peers:
            yield _damaged(bench, peer, sets["damaged"])
            yield _killed(bench, peer, sets["model"], whole=False)
            yield _killed(bench, peer, sets["whole"], whole=True)


def _damaged(bench: Bench, peer: Peer, keys: list[str]) -> Figure:
    """Colourize eight scans, of which the fourth is cut off in its middle."""
    bench.say(f"peers: a damaged scan for {peer.name}")
    outputs = peer.colourize(keys, "damaged-")
    _watch(peer, outputs)
    done = outputs.count()
    return Figure(
        "peers", f"a damaged scan among 8: outputs of the other 7, {peer.name}", done / 7, "%",
        detail=f"{done} outputs; {peer.last_words() or 'it says nothing'}",
    )  # fmt: skip


def _killed(bench: Bench, peer: Peer, keys: list[str], *, whole: bool) -> Figure:
    """Kill the process with the model, or all processes, with kill -9 after a third of the scans."""
    victim = "all its processes" if whole else "the process with the model"
    bench.say(f"peers: kill -9 of {victim}, {peer.name}")
    outputs = peer.colourize(keys, "whole-" if whole else "model-")
    outputs.wait_for(len(keys) // 3)
    began = time.monotonic()
    if whole:
        peer.tree().kill()
    else:
        kill(peer.model_pid())
    writes = _watch(peer, outputs)
    by_itself = outputs.count()
    if by_itself < len(keys) and peer.start_again():
        writes |= _watch(peer, outputs)
    again = len(writes) - outputs.count()
    alone = "went on by itself" if by_itself == len(keys) else f"ended with {by_itself} outputs, was started again"
    return Figure(
        "peers", f"kill -9 of {victim}: outputs in the end, {peer.name}", outputs.count() / len(keys), "%",
        detail=f"it {alone}; {again} of {len(keys)} outputs made twice; {time.monotonic() - began:.0f} s from the kill",
    )  # fmt: skip


def _watch(peer: Peer, outputs: Outputs) -> set[tuple[str, int]]:
    """Watch until the peer has ended. Returns all writes of outputs that were seen.

    Raises ServiceUnavailable if the peer has not ended after _SECONDS.
    """
    deadline, writes = time.monotonic() + _SECONDS, outputs.writes()
    while not peer.has_ended():
        writes |= outputs.writes()
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"{peer.name} has not ended after {_SECONDS} s, with {outputs.count()} outputs")
        time.sleep(_LOOK_SECONDS)
    return writes | outputs.writes()
