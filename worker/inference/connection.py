"""A child's side of the connection to the model server: slots, requests and replies."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.errors import ScanError
from worker.inference.colour_options import ColourOptions
from worker.inference.protocol import Message, ProtocolError, Receiver, send, whole_number
from worker.inference.shared_memory import FREE, RUNNING, WAITING, Slots, SlotSize, slots_file
from worker.model.packing import pack_lightness, unpack_ab


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one scan."""

    ab: NDArray[np.float32]  # (400, 400, 2), CIE a* and b*, enlarged from the size in which the head predicts
    certainty: float | None  # 0..1, from a head that gives one
    checkpoint_id: str
    wait_ms: float  # the time in which the device did not work on it: in the queue, or without a server
    predict_ms: float  # its batch's time on the device
    head: str | None = None
    embedding: str | None = None
    precision: str | None = None  # float32, bfloat16 or int8
    input_px: int | None = None  # the side of the square that the network saw
    doubtful_below: float | None = None  # a lower certainty is doubtful; None if the checkpoint has no limit


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Information about the model server."""

    checkpoint_id: str
    head: str  # used for scans that ask for none
    heads: tuple[str, ...]
    embedding: str
    precision: str
    input_px: int
    doubtful_below: float | None
    slot_size: SlotSize
    device: str
    batch_size: int
    pid: int

    @classmethod
    def of(cls, message: Message | None) -> "ServerInfo":
        """Raises ProtocolError."""
        if message is None:
            raise ProtocolError("the model server closed the connection")
        return cls(
            checkpoint_id=str(message.get("checkpoint_id")),
            head=str(message.get("head")),
            heads=tuple(map(str, message.get("heads", ()))),
            embedding=str(message.get("embedding")),
            precision=str(message.get("precision")),
            input_px=whole_number(message, "input_px", 8, 1 << 16),
            doubtful_below=_share(message, "doubtful_below"),
            slot_size=SlotSize(
                whole_number(message, "lightness_px", 8, 1 << 12), whole_number(message, "ab_px", 2, 1 << 12)
            ),
            device=str(message.get("device")),
            batch_size=whole_number(message, "batch_size", 1, 1 << 20),
            pid=whole_number(message, "pid", 1, 1 << 40),
        )


def _share(message: Message, name: str) -> float | None:
    value = message.get(name)
    if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
        raise ProtocolError(f"{name} is {str(value)[:40]!r}; expected 0 to 1, or null")
    return value


class ServerLost(Exception):
    """The connection ended before the reply. `running`: this scan's batch was on the device at that time."""

    def __init__(self, running: bool) -> None:
        super().__init__("the model server has gone")
        self.running = running


def connect(socket_path: str | os.PathLike[str], timeout_seconds: float) -> socket.socket:
    """A connection whose calls all fail after `timeout_seconds`. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(os.fspath(socket_path))
    except BaseException:
        connection.close()
        raise
    return connection


class ServerConnection:
    """One connection with `slot_count` slots of shared memory; used from many threads.

    Each connection has its own memory, so that a server that was given up can't write into a slot of the next
    connection. Raises OSError or ProtocolError if no server answers within `timeout_seconds`.
    """

    def __init__(self, socket_path: str | os.PathLike[str], slot_count: int, timeout_seconds: float) -> None:
        self._changed = threading.Condition()
        self._free = list(range(slot_count))
        self._replies: dict[int, Future[Message]] = {}  # by slot, of the unanswered requests
        self.lost = False
        self._socket = connect(socket_path, timeout_seconds)
        self._receiver = Receiver(self._socket)
        try:
            send(self._socket, {"do": "hello"})
            self.info = ServerInfo.of(self._receiver.receive())
            self._slots = self._attach(slot_count, self.info.slot_size)
            ServerInfo.of(self._receiver.receive())
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._read, name="model-server-replies", daemon=True).start()

    def predict(
        self, lightness: NDArray[np.float32], options: ColourOptions, *, alone: bool, began: float, deadline: float
    ) -> Prediction:
        """Predict lightness (400, 400), 0..100. `began` and `deadline` are times of time.monotonic().

        Raises ServerLost, TimeoutError at `deadline`, ScanError.
        """
        with self._slot(deadline) as slot:
            self._slots.lightness[slot] = pack_lightness(lightness, self.info.slot_size.lightness_px)
            reply = self._request(slot, options, alone, deadline)
            if "code" in reply:
                raise ScanError(str(reply["code"]), str(reply["message"]), permanent=bool(reply["permanent"]))
            predict_ms = float(reply["predict_ms"])
            packed = self._slots.read_ab(slot, whole_number(reply, "side", 1, self.info.slot_size.ab_px))
        wait_ms = max(0.0, (time.monotonic() - began) * 1000 - predict_ms)
        return Prediction(
            unpack_ab(packed),
            reply["certainty"],
            str(reply["checkpoint_id"]),
            wait_ms,
            predict_ms,
            head=str(reply["head"]),
            embedding=str(reply["embedding"]),
            precision=self.info.precision,
            input_px=self.info.input_px,
            doubtful_below=self.info.doubtful_below,
        )

    def close(self) -> None:
        """End the connection. Unanswered requests raise ServerLost."""
        with contextlib.suppress(OSError):  # the other side is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _attach(self, slot_count: int, size: SlotSize) -> Slots:
        descriptor = slots_file(slot_count, size)
        try:
            slots = Slots(descriptor, slot_count, size)
            send(self._socket, {"do": "attach", "slots": slot_count}, descriptor)
        finally:
            os.close(descriptor)
        return slots

    @contextlib.contextmanager
    def _slot(self, deadline: float) -> Iterator[int]:
        """A free slot. It is given back after the block, unless the server may still write to it."""
        with self._changed:
            while not self._free and not self.lost:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and not self._free:
                    raise TimeoutError
            if self.lost:
                raise ServerLost(running=False)
            slot = self._free.pop()
        try:
            yield slot
        except TimeoutError:
            raise
        except BaseException:
            self._give_back(slot)
            raise
        self._give_back(slot)

    def _request(self, slot: int, options: ColourOptions, alone: bool, deadline: float) -> Message:
        reply: Future[Message] = Future()
        with self._changed:
            if self.lost:
                raise ServerLost(running=False)
            self._replies[slot] = reply
            self._slots.states[slot] = WAITING
            try:
                request = {"do": "predict", "slot": slot, "alone": alone}
                send(self._socket, {**request, "head": options.head, "embedding": options.embedding})
            except OSError:
                self.close()
        try:
            return reply.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            with self._changed:
                if self._replies.pop(slot, None) is not None:
                    raise
            return reply.result()

    def _give_back(self, slot: int) -> None:
        with self._changed:
            self._slots.states[slot] = FREE
            self._free.append(slot)
            self._changed.notify()

    def _read(self) -> None:
        try:
            while (message := self._receiver.receive()) is not None:
                self._hand_over(whole_number(message, "slot", 0, len(self._slots) - 1), message)
        except (OSError, ProtocolError):
            pass  # in both cases the server can't be used any more
        finally:
            self._lose()

    def _hand_over(self, slot: int, message: Message) -> None:
        with self._changed:
            reply = self._replies.pop(slot, None)
        if reply is None:
            self._give_back(slot)  # the caller has given up
        else:
            reply.set_result(message)

    def _lose(self) -> None:
        with self._changed:
            self.lost = True
            replies, self._replies = self._replies, {}
            self._changed.notify_all()
        for slot, reply in replies.items():
            reply.set_exception(ServerLost(running=bool(self._slots.states[slot] == RUNNING)))
        self._receiver.close()
        self._socket.close()
