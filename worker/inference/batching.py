"""Puts scans from all children into full device batches.

Three kinds of threads work here, so that the device thread only predicts. The thread that submits copies its scan into
the batch that is being filled. The device thread predicts the oldest batch. A third thread delivers the results. So
while one batch runs, the next is filled and the last one is delivered.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from worker.errors import ScanError
from worker.inference.models.interface import Colours, model_failed
from worker.model.packing import NOT_FINITE, SIDE_PX, PackedAb, PackedLightness

logger = logging.getLogger(__name__)

Predict = Callable[[PackedLightness, str], Colours]


@dataclass(frozen=True, slots=True)
class Predicted:
    """The result of one scan."""

    ab: PackedAb  # (side, side, 2), by the head that the scan asked for
    certainty: float | None  # 0..1
    predict_ms: float  # its batch's time on the device


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters since the start; `queue_length` is the present value."""

    batches: int  # calls of predict
    scans: int  # scans in them
    failed: int  # scans that failed
    batch_size: int  # the largest batch, after any halving
    busy_seconds: float  # the device's time in predict
    places: int  # places for scans in the batches, used or not
    queue_length: int  # scans that wait for their batch to begin
    predicting_seconds: float  # how long the batch on the device has been there; 0 if there is none
    loading_seconds: float  # how long the next batch has waited for the model of its embedding; 0 if none waits


@dataclass(slots=True)
class _Scan:
    result: "Future[Predicted]"
    head: str
    on_device: Callable[[bool], None]
    submitted: float


@dataclass(slots=True)
class _Batch:
    lightness: PackedLightness  # (max_batch_size, side, side); the first len(scans) rows are filled
    embedding: str
    alone: bool  # a scan that must not share its batch
    scans: list[_Scan] = field(default_factory=list)

    def full(self) -> bool:
        return self.alone or len(self.scans) == len(self.lightness)


class Batcher:
    """`submit` scans from any thread; `predict` is called in one thread only.

    predict: lightness (n, side, side), n <= max_batch_size, and the embedding -> Colours. Each scan gets the colours of
    the head that it asks for. Scans with the same embedding share batches. prepare: called with the embedding in the
    same thread before each predict, to load its model if necessary. This time does not count for the batch. A full
    batch goes to the device at once. A partial one goes `max_wait_seconds` after its first scan came, or as soon as all
    possible requests wait (see `set_possible`). out_of_memory: whether an error of predict means that the batch was too
    large. Then the batch is halved and tried again, and `resized` is called with the new size, which stays. After any
    other error each scan is tried alone, so that only a bad scan fails.
    """

    def __init__(
        self,
        predict: Predict,
        max_batch_size: int = 8,
        max_wait_seconds: float = 0.02,
        *,
        side_px: int = SIDE_PX,
        prepare: Callable[[str], None] = lambda embedding: None,
        out_of_memory: Callable[[Exception], bool] = lambda error: isinstance(error, MemoryError),
        resized: Callable[[int], None] = lambda size: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._predict, self._out_of_memory, self._resized, self._clock = predict, out_of_memory, resized, clock
        self._prepare = prepare
        self._max_batch_size, self._max_wait_seconds, self._side_px = max_batch_size, max_wait_seconds, side_px
        self._size = max_batch_size
        self._changed = threading.Condition()
        self._filling: deque[_Batch] = deque()
        self._spare: list[PackedLightness] = []
        self._possible: int | None = None
        self._closing = False
        self._batches = self._scans = self._failed = self._places = 0
        self._busy_seconds = 0.0
        self._failed_in_a_row = 0
        self._predicting_since: float | None = None
        self._loading_since: float | None = None
        self._delivery = ThreadPoolExecutor(1, "delivery")
        self._device = threading.Thread(target=self._run, name="device", daemon=True)
        self._device.start()

    def submit(
        self,
        lightness: PackedLightness,
        head: str,
        embedding: str,
        *,
        alone: bool = False,
        on_device: Callable[[bool], None] = lambda running: None,
    ) -> "Future[Predicted]":
        """Copy a scan's lightness, (side, side), into a batch. The result comes later.

        alone: the scan gets its own batch, because it may have crashed a model server. on_device: called with True when
        the scan goes to the device, and with False when it comes back, with or without a result (it may go there
        again). It must be quick, because the device waits for it. The future's error is a ScanError `model_failed`. The
        future is cancelled if the batcher closes first.
        """
        result: Future[Predicted] = Future()
        with self._changed:
            if self._closing:
                result.cancel()
                return result
            batch = self._open_batch(embedding, alone)
            np.copyto(batch.lightness[len(batch.scans)], lightness)
            batch.scans.append(_Scan(result, head, on_device, self._clock()))
            self._changed.notify_all()
        return result

    def set_possible(self, requests: int | None) -> None:
        """Set how many scans of all callers can wait at the same time; None: any number."""
        with self._changed:
            self._possible = requests
            self._changed.notify_all()

    def stats(self) -> Stats:
        with self._changed:
            queue_length = sum(len(batch.scans) for batch in self._filling)
            return Stats(
                self._batches,
                self._scans,
                self._failed,
                self._size,
                self._busy_seconds,
                self._places,
                queue_length,
                self._seconds_since(self._predicting_since),
                self._seconds_since(self._loading_since),
            )

    def _seconds_since(self, began: float | None) -> float:
        return 0.0 if began is None else self._clock() - began

    def healthy(self, failures: int = 16) -> bool:
        """False if the last `failures` predictions have all failed. Then the cause is the device, not the scans."""
        return self._failed_in_a_row < failures and (self._closing or self._device.is_alive())

    def close(self) -> None:
        """Finish and deliver the running batch, and cancel the waiting scans."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._device.join()
        self._delivery.shutdown()
        for batch in self._filling:
            for scan in batch.scans:
                scan.result.cancel()

    def _open_batch(self, embedding: str, alone: bool) -> _Batch:
        same = [batch for batch in self._filling if batch.embedding == embedding]
        if same and not alone and not same[-1].full():
            return same[-1]
        empty = self._spare.pop() if self._spare else None
        if empty is None:
            empty = np.empty((self._max_batch_size, self._side_px, self._side_px), np.uint16)
        self._filling.append(_Batch(empty, embedding, alone))
        return self._filling[-1]

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            if not all(scan.result.cancelled() for scan in batch.scans):
                self._predict_in_pieces(batch, batch.scans, batch.lightness[: len(batch.scans)])
            batch.scans.clear()  # otherwise they, and their callers' memory, would stay until the next batch
            with self._changed:
                self._spare.append(batch.lightness)

    def _take(self) -> _Batch | None:
        """Wait for the next batch that may go to the device; None when the batcher closes."""
        with self._changed:
            while not self._closing:
                seconds = self._seconds_to_go()
                if seconds is not None and seconds <= 0:
                    return self._filling.popleft()
                self._changed.wait(seconds)
        return None

    def _seconds_to_go(self) -> float | None:
        """How long the oldest batch may still be filled; None if there is none."""
        if not self._filling:
            return None
        oldest = self._filling[0]
        if oldest.full() or len(self._filling) > 1 or len(oldest.scans) >= self._size:
            return 0.0
        if self._possible is not None and len(oldest.scans) >= self._possible:
            return 0.0
        return oldest.scans[0].submitted + self._max_wait_seconds - self._clock()

    def _predict_in_pieces(self, batch: _Batch, scans: list[_Scan], lightness: PackedLightness) -> None:
        """Predict in pieces of at most the present batch size, which may become smaller meanwhile."""
        while scans:
            count = min(len(scans), self._size)
            error = self._predict_piece(batch.embedding, scans[:count], lightness[:count])
            if error is not None and self._size > 1 and self._out_of_memory(error):
                self._halve()
                continue
            if error is not None:
                self._predict_each(batch.embedding, scans[:count], lightness[:count], error)
            scans, lightness = scans[count:], lightness[count:]

    def _predict_each(self, embedding: str, scans: list[_Scan], lightness: PackedLightness, error: Exception) -> None:
        for index, scan in enumerate(scans):
            last: Exception | None = error
            if len(scans) > 1 and not isinstance(error, ScanError):
                last = self._predict_piece(embedding, [scan], lightness[index : index + 1])
            if isinstance(last, ScanError):
                self._delivery.submit(self._fail, scan, last)
            elif last is not None:
                self._failed_in_a_row += 1
                logger.warning("prediction failed: %s: %s", type(last).__name__, last)
                # The cause may be the device, so the error is never permanent.
                failure = model_failed(f"{type(last).__name__}: {str(last)[:500]}", permanent=False)
                self._delivery.submit(self._fail, scan, failure)

    def _predict_piece(self, embedding: str, scans: list[_Scan], lightness: PackedLightness) -> Exception | None:
        """Call predict once. Returns its error without the traceback, which would keep device memory in use."""
        for scan in scans:
            scan.on_device(True)
        self._loading_since = self._clock()
        try:
            self._prepare(embedding)
            began = self._predicting_since = self._clock()
            self._loading_since = None
            colours = self._predict(lightness, embedding)
            _check(colours, {scan.head for scan in scans}, len(scans))
        except Exception as error:
            return error.with_traceback(None)
        finally:
            self._predicting_since = self._loading_since = None
            for scan in scans:
                scan.on_device(False)
        self._count(len(scans), self._clock() - began)
        self._delivery.submit(self._deliver, scans, colours, (self._clock() - began) * 1000)
        return None

    def _count(self, scans: int, seconds: float) -> None:
        self._failed_in_a_row = 0
        with self._changed:
            self._batches += 1
            self._scans += scans
            self._places += self._size
            self._busy_seconds += seconds

    def _halve(self) -> None:
        with self._changed:
            self._size //= 2
        logger.warning("the device ran out of memory: batches of %d scans from now on", self._size)
        self._resized(self._size)

    def _deliver(self, scans: list[_Scan], colours: Colours, predict_ms: float) -> None:
        for index, (scan, certainty) in enumerate(zip(scans, colours.certainty.tolist(), strict=True)):
            ab = colours.ab[scan.head][index]
            if (ab == NOT_FINITE).any():
                self._fail(scan, model_failed("the model gave a colour that is not finite", permanent=True))
            elif scan.result.set_running_or_notify_cancel():
                scan.result.set_result(Predicted(ab, certainty if np.isfinite(certainty) else None, predict_ms))

    def _fail(self, scan: _Scan, failure: ScanError) -> None:
        with self._changed:
            self._failed += 1
        if scan.result.set_running_or_notify_cancel():
            scan.result.set_exception(failure)


def _check(colours: Colours, heads: set[str], count: int) -> None:
    shapes = {head: colours.ab[head].shape for head in heads}
    for shape in shapes.values():
        if len(shape) != 4 or (shape[0], shape[3]) != (count, 2) or colours.certainty.shape != (count,):
            raise ValueError(f"predict gave {shapes} and {colours.certainty.shape} for {count} scans")
