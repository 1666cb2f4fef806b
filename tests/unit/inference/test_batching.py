import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from worker.errors import ScanError
from worker.inference.batching import Batcher, Predicted
from worker.inference.models.stub_model import StubColours
from worker.model.packing import NOT_FINITE, PackedAb, PackedLightness

SOON = 10.0  # seconds; only a failing test waits so long
NEVER = 3600.0
SIDE = 8
PAPER = ("paper", "compact")  # head and embedding


def a_scan(level: int) -> PackedLightness:
    return np.full((SIDE, SIDE), level, np.uint16)


def colours_of(lightness: PackedLightness) -> PackedAb:
    """(..., 8, 8) -> (..., 4, 4, 2), as the fake model gives them."""
    small = lightness[..., ::2, ::2].astype(np.int16)
    return np.stack([small, -small], axis=-1)


class FakeModel:
    """Answers like the stand-in model and records its batches. A test can block it or make it fail."""

    def __init__(self, fails: Callable[[PackedLightness], Exception | None] = lambda lightness: None) -> None:
        self.batches: list[list[int]] = []  # the levels of the scans in each call
        self.fails = fails
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def predict(self, lightness: PackedLightness, embedding: str) -> StubColours:
        self.batches.append([int(level) for level in lightness[:, 0, 0]])
        self.entered.release()
        assert self.go_on.wait(SOON)
        if error := self.fails(lightness):
            raise error
        ab = colours_of(lightness)
        return StubColours({"paper": ab, "vivid": ab[..., ::-1]}, np.full(len(lightness), np.nan, np.float32))


@contextmanager
def batching(model: FakeModel, size: int = 4, wait_seconds: float = NEVER, **options: Any) -> Iterator[Batcher]:
    batcher = Batcher(model.predict, size, wait_seconds, side_px=SIDE, **options)
    try:
        yield batcher
    finally:
        model.go_on.set()
        batcher.close()


def is_right(result: "Future[Predicted]", level: int) -> bool:
    return bool(np.array_equal(result.result(SOON).ab, colours_of(a_scan(level))))


def test_a_full_batch_goes_at_once_and_each_scan_gets_its_own_colour() -> None:
    model = FakeModel()
    with batching(model) as batcher:
        results = [batcher.submit(a_scan(level), *PAPER) for level in range(4)]
        assert all(is_right(result, level) for level, result in enumerate(results))
    assert model.batches == [[0, 1, 2, 3]]


def test_a_partial_batch_goes_after_the_wait() -> None:
    model = FakeModel()
    with batching(model, wait_seconds=0.01) as batcher:
        assert is_right(batcher.submit(a_scan(7), *PAPER), 7)
    assert model.batches == [[7]]


def test_a_partial_batch_goes_when_every_possible_request_waits() -> None:
    model = FakeModel()
    with batching(model) as batcher:
        batcher.set_possible(2)
        results = [batcher.submit(a_scan(level), *PAPER) for level in (1, 2)]
        assert is_right(results[1], 2)
    assert model.batches == [[1, 2]]


def test_a_partial_batch_goes_when_the_client_it_waited_for_leaves() -> None:
    model = FakeModel()
    with batching(model) as batcher:
        batcher.set_possible(8)
        result = batcher.submit(a_scan(1), *PAPER)
        assert not model.entered.acquire(blocking=False)
        batcher.set_possible(1)
        assert is_right(result, 1)


def test_the_next_batch_fills_while_one_runs() -> None:
    model = FakeModel()
    with batching(model, size=2) as batcher:
        model.go_on.clear()
        results = [batcher.submit(a_scan(level), *PAPER) for level in (0, 1)]
        assert model.entered.acquire(timeout=SOON)
        results += [batcher.submit(a_scan(level), *PAPER) for level in (2, 3, 4, 5)]
        assert batcher.stats().queue_length == 4
        model.go_on.set()
        assert all(is_right(result, level) for level, result in enumerate(results))
    assert model.batches == [[0, 1], [2, 3], [4, 5]]


def test_a_scan_that_came_during_a_batch_has_waited_when_it_ends() -> None:
    """The wait counts from the scan's arrival, so a device that was busy for longer takes the scan at once."""
    model, now = FakeModel(), [0.0]
    with batching(model, wait_seconds=1.0, clock=lambda: now[0]) as batcher:
        model.go_on.clear()
        [batcher.submit(a_scan(level), *PAPER) for level in range(4)]
        assert model.entered.acquire(timeout=SOON)
        late = batcher.submit(a_scan(9), *PAPER)
        now[0] = 1.5
        model.go_on.set()
        assert is_right(late, 9)


def test_the_callers_memory_may_change_after_submit() -> None:
    with batching(FakeModel(), size=2) as batcher:
        lightness = a_scan(10)
        result = batcher.submit(lightness, *PAPER)
        lightness[:] = 90
        batcher.submit(lightness, *PAPER)
        assert is_right(result, 10)


def test_scans_of_one_batch_may_ask_for_different_heads() -> None:
    model = FakeModel()
    with batching(model, size=2) as batcher:
        paper, vivid = (batcher.submit(a_scan(7), head, "compact") for head in ("paper", "vivid"))
        assert is_right(paper, 7)
        assert np.array_equal(vivid.result(SOON).ab, colours_of(a_scan(7))[..., ::-1])
    assert model.batches == [[7, 7]]


def test_scans_of_different_embeddings_share_no_batch() -> None:
    model = FakeModel()
    with batching(model, size=2) as batcher:
        results = [batcher.submit(a_scan(level), "paper", "compact" if level % 2 else "imagenet") for level in range(4)]
        assert all(is_right(result, level) for level, result in enumerate(results))
    assert sorted(model.batches) == [[0, 2], [1, 3]]


def test_an_embedding_that_cannot_be_loaded_fails_its_scans_without_another_try() -> None:
    missing = ScanError("model_failed", "the embedding 'x' is neither a name nor a file", permanent=True)
    model = FakeModel(lambda lightness: missing)
    with batching(model, size=2) as batcher:
        results = [batcher.submit(a_scan(level), "paper", "x") for level in range(2)]
        assert [result.exception(SOON) for result in results] == [missing, missing]
        assert batcher.healthy(1)
    assert len(model.batches) == 1


def test_a_suspect_goes_alone() -> None:
    model = FakeModel()
    with batching(model) as batcher:
        batcher.set_possible(3)
        first = batcher.submit(a_scan(1), *PAPER)
        suspect = batcher.submit(a_scan(2), *PAPER, alone=True)
        assert is_right(suspect, 2)
        assert is_right(first, 1)
    assert model.batches == [[1], [2]]


def test_a_colour_that_is_not_finite_fails_its_scan_alone() -> None:
    def predict(lightness: PackedLightness, embedding: str) -> StubColours:
        ab = colours_of(lightness)
        ab[1, 0, 0, 1] = NOT_FINITE
        return StubColours({"paper": ab}, np.array([0.25, 0.5], np.float32))

    batcher = Batcher(predict, 2, NEVER, side_px=SIDE)
    results = [batcher.submit(a_scan(level), *PAPER) for level in (0, 1)]
    assert results[0].result(SOON).certainty == 0.25
    assert isinstance(results[1].exception(SOON), ScanError)
    batcher.close()


def test_a_bad_scan_fails_alone() -> None:
    model = FakeModel(lambda lightness: RuntimeError("bad pixels") if 2 in lightness[:, 0, 0] else None)
    with batching(model) as batcher:
        results = [batcher.submit(a_scan(level), *PAPER) for level in range(4)]
        assert all(is_right(results[level], level) for level in (0, 1, 3))
        error = results[2].exception(SOON)
        assert batcher.healthy()
        assert batcher.stats().failed == 1
    assert isinstance(error, ScanError)
    assert error.code == "model_failed"
    assert not error.permanent


def test_a_batch_without_device_memory_is_halved_and_the_size_kept() -> None:
    model = FakeModel(lambda lightness: MemoryError() if len(lightness) > 2 else None)
    sizes: list[int] = []
    with batching(model, size=8, resized=sizes.append) as batcher:
        results = [batcher.submit(a_scan(level), *PAPER) for level in range(8)]
        assert all(is_right(result, level) for level, result in enumerate(results))
        more = [batcher.submit(a_scan(level), *PAPER) for level in (1, 2)]
        assert all(is_right(result, level) for level, result in zip((1, 2), more, strict=True))
    assert sizes == [4, 2]
    assert [len(batch) for batch in model.batches] == [8, 4, 2, 2, 2, 2, 2]


def test_a_scan_that_does_not_fit_the_device_fails() -> None:
    model = FakeModel(lambda lightness: MemoryError("no room"))
    with batching(model, size=2) as batcher:
        results = [batcher.submit(a_scan(level), *PAPER) for level in range(2)]
        error = results[1].exception(SOON)
    assert isinstance(error, ScanError)
    assert not error.permanent


def test_a_device_that_only_fails_is_not_healthy() -> None:
    with batching(FakeModel(lambda lightness: RuntimeError("device lost")), size=1) as batcher:
        for result in [batcher.submit(a_scan(1), *PAPER) for _ in range(3)]:
            assert result.exception(SOON)
        assert batcher.healthy(4)
        assert not batcher.healthy(3)


def test_on_device_says_which_scans_the_device_has() -> None:
    model, said = FakeModel(lambda lightness: RuntimeError() if len(lightness) > 1 else None), list[str]()
    with batching(model, size=2) as batcher:
        results = [
            batcher.submit(a_scan(0), *PAPER, on_device=lambda running: said.append(f"first {running}")),
            batcher.submit(a_scan(1), *PAPER, on_device=lambda running: said.append(f"second {running}")),
        ]
        assert is_right(results[1], 1)
    together = ["first True", "second True", "first False", "second False"]
    assert said == [*together, "first True", "first False", "second True", "second False"]


def test_closing_finishes_the_running_batch_and_cancels_the_rest() -> None:
    model = FakeModel()
    model.go_on.clear()
    batcher = Batcher(model.predict, 1, NEVER, side_px=SIDE)
    running, waiting = batcher.submit(a_scan(1), *PAPER), batcher.submit(a_scan(2), *PAPER)
    assert model.entered.acquire(timeout=SOON)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not batcher.submit(a_scan(4), *PAPER).cancelled():  # `close` has not begun yet
        pass
    model.go_on.set()
    closing.join(SOON)
    assert is_right(running, 1)
    with pytest.raises(CancelledError):
        waiting.result(SOON)
    assert batcher.submit(a_scan(3), *PAPER).cancelled()


def test_counters_tell_fill_and_busy_time() -> None:
    now = [0.0]

    def predict(lightness: PackedLightness, embedding: str) -> StubColours:
        now[0] += 0.5
        return StubColours({"paper": colours_of(lightness)}, np.zeros(len(lightness), np.float32))

    batcher = Batcher(predict, 4, NEVER, side_px=SIDE, clock=lambda: now[0])
    batcher.set_possible(3)
    for result in [batcher.submit(a_scan(level), *PAPER) for level in range(3)]:
        result.result(SOON)
    stats = batcher.stats()
    batcher.close()
    assert (stats.batches, stats.scans, stats.places, stats.busy_seconds) == (1, 3, 4, 0.5)


def test_loading_an_embeddings_model_is_not_the_batchs_time() -> None:
    """Otherwise a model whose loading takes longer than the limit for a batch would look like a device that hangs."""
    now, seen = [0.0], list[tuple[float, float]]()

    def prepare(embedding: str) -> None:
        now[0] += 100
        stats = batcher.stats()
        seen.append((stats.loading_seconds, stats.predicting_seconds))

    batcher = Batcher(FakeModel().predict, 4, 0, side_px=SIDE, prepare=prepare, clock=lambda: now[0])
    predicted = batcher.submit(a_scan(1), *PAPER).result(SOON)
    stats = batcher.stats()
    batcher.close()
    assert seen == [(100, 0)]
    assert (predicted.predict_ms, stats.busy_seconds, stats.loading_seconds) == (0, 0, 0)
