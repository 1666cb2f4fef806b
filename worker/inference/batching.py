"""Scans from every child into full device batches.

Three kinds of thread meet here, so that the device's own does nothing but predict: whoever submits copies
its scan into the batch that is filling, the device thread predicts the oldest batch, and one more hands the
results on. So while one batch runs, the next fills and the last one is delivered.
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
    """What became of one scan."""

    ab: PackedAb  # (side, side, 2), of the head that it asked for
    certainty: float | None  # 0..1
    predict_ms: float  # its batch's time on the device


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters since the start; `queue_length` is of now."""

    batches: int  # calls of predict
    scans: int  # scans in them
    failed: int  # scans that failed
    batch_size: int  # the largest batch, after any halving
    busy_seconds: float  # the device's time in predict
    places: int  # places for scans in the batches, held or not
    queue_length: int  # scans that wait for their batch to begin
    predicting_seconds: float  # how long the batch on the device is there by now; 0 when there is none
    loading_seconds: float  # how long the next batch has waited for the model of its embedding; 0 when none does


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
    alone: bool  # one scan that must not share
    scans: list[_Scan] = field(default_factory=list)

    def full(self) -> bool:
        return self.alone or len(self.scans) == len(self.lightness)


class Batcher:
    """`submit` scans from any thread; `predict` is called in one thread only.

    predict: lightness (n, side, side), n <= max_batch_size, and the embedding that they ask for -> Colours: each scan
        gets those of the head that it asks for. Scans of one embedding share batches.
    prepare: called in the same thread before each predict with its embedding, whose model it may have to load: that
        time is not the batch's.
    A full batch goes at once; a partial one `max_wait_seconds` after its first scan came, or as soon as
    every request that is possible (see `set_possible`) waits.
    out_of_memory: whether an error of predict means that the batch was too large for the device: the batch
        is halved and tried again, and `resized` told of the new size, which is kept. Any other error: each
        scan is tried alone, so that a bad scan fails alone.
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
        """Copy a scan's lightness, (side, side), into a batch; the result comes later.

        alone: gives it a batch of its own, for a scan that may have brought a model server down.
        on_device: called with True when the scan goes onto the device, with False when it comes off, with or
            without a result (it may go on again); must be quick, it holds up the device.
        The result's error is a ScanError `model_failed`; it is cancelled if the batcher closes first.
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
        """How many scans can wait at once, all callers together; None: any number."""
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
        """False once the last `failures` predictions all failed: it is the device, then, not the scans."""
        return self._failed_in_a_row < failures and (self._closing or self._device.is_alive())

    def close(self) -> None:
        """Finish and deliver the batch that runs; cancel what waits."""
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
            batch.scans.clear()  # or they, and their callers' memory, would live until the next batch
            with self._changed:
                self._spare.append(batch.lightness)

    def _take(self) -> _Batch | None:
        """The next batch, as soon as it may go; None when the batcher closes."""
        with self._changed:
            while not self._closing:
                seconds = self._seconds_to_go()
                if seconds is not None and seconds <= 0:
                    return self._filling.popleft()
                self._changed.wait(seconds)
        return None

    def _seconds_to_go(self) -> float | None:
        """How long the oldest batch should still fill; None if there is none."""
        if not self._filling:
            return None
        oldest = self._filling[0]
        if oldest.full() or len(self._filling) > 1 or len(oldest.scans) >= self._size:
            return 0.0
        if self._possible is not None and len(oldest.scans) >= self._possible:
            return 0.0
        return oldest.scans[0].submitted + self._max_wait_seconds - self._clock()

    def _predict_in_pieces(self, batch: _Batch, scans: list[_Scan], lightness: PackedLightness) -> None:
        """Predict in pieces of at most the present size, which may shrink on the way."""
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
                # What failed may have been the device, so it is never called permanent.
                failure = model_failed(f"{type(last).__name__}: {str(last)[:500]}", permanent=False)
                self._delivery.submit(self._fail, scan, failure)

    def _predict_piece(self, embedding: str, scans: list[_Scan], lightness: PackedLightness) -> Exception | None:
        """One call of predict; its error without the traceback, which would hold on to device memory."""
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
