"""The model server's side of one child's connection."""

import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict

from worker.errors import ScanError
from worker.inference.batching import Batcher, Predicted
from worker.inference.models.interface import LoadedModels
from worker.inference.protocol import MAX_SLOTS, Message, ProtocolError, Receiver, send, whole_number
from worker.inference.shared_memory import FREE, RUNNING, WAITING, Slots, SlotSize

logger = logging.getLogger(__name__)

_SEND_SECONDS = 5


class Handler:
    """Answers one child until it closes the connection, dies or sends an invalid request. `run` is its thread.

    changed: called when the child's number of slots changes, so that the batcher knows it.
    """

    def __init__(
        self,
        connection: socket.socket,
        info: Callable[[], Message],
        batcher: Batcher,
        models: LoadedModels,
        changed: Callable[[], None],
        *,
        slot_size: SlotSize,
    ) -> None:
        self._connection, self._info, self._changed = connection, info, changed
        self._batcher, self._models, self._slot_size = batcher, models, slot_size
        # A child that stops reading must not delay the results of the others.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self._sending = threading.Lock()
        self._slots: Slots | None = None
        self._requests: dict[int, Future[Predicted]] = {}  # by slot
        self.slot_count = 0

    def run(self) -> None:
        receiver = Receiver(self._connection)
        try:
            while (message := receiver.receive()) is not None:
                self._answer(message, receiver)
        except (ProtocolError, OSError) as error:
            logger.warning("dropped a client: %s", error)
        finally:
            receiver.close()
            self._leave()

    def drop(self) -> None:
        """Make `run` end. It may be called from any thread."""
        with contextlib.suppress(OSError):  # it has gone already
            self._connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, message: Message, receiver: Receiver) -> None:
        match message.get("do"):
            case "predict":
                self._predict(message)
            case "attach":
                self._attach(whole_number(message, "slots", 1, MAX_SLOTS), receiver.take_descriptor())
                self._reply(self._info())
            case "hello":
                self._reply(self._info())
            case "stats":
                self._reply(asdict(self._batcher.stats()))
            case other:
                raise ProtocolError(f"do is {str(other)[:40]!r}; expected hello, attach, stats or predict")

    def _attach(self, count: int, descriptor: int | None) -> None:
        if descriptor is None:
            raise ProtocolError("attach came without its shared memory")
        try:
            if self._slots is not None:
                raise ProtocolError("attach came twice")
            self._slots = Slots(descriptor, count, self._slot_size)
        except ValueError as error:
            raise ProtocolError(f"shared memory: {error}") from error
        finally:
            os.close(descriptor)
        self.slot_count = count
        self._changed()

    def _predict(self, message: Message) -> None:
        if self._slots is None:
            raise ProtocolError("predict came before attach")
        slots, slot = self._slots, whole_number(message, "slot", 0, len(self._slots) - 1)
        if slot in self._requests:
            raise ProtocolError(f"predict for slot {slot} came before the answer to the one before")

        def on_device(running: bool) -> None:
            slots.states[slot] = RUNNING if running else WAITING

        try:
            head, embedding = self._models.resolve(_name(message, "head"), _name(message, "embedding"))
        except ScanError as error:
            self._reply(_failure(slot, error))
            return
        alone = message.get("alone") is True
        result = self._batcher.submit(slots.lightness[slot], head, embedding, alone=alone, on_device=on_device)
        self._requests[slot] = result
        result.add_done_callback(lambda done: self._done(slots, slot, head, embedding, done))

    def _done(self, slots: Slots, slot: int, head: str, embedding: str, result: "Future[Predicted]") -> None:
        """Write a result into the child's slot. This is called in the batcher's delivery thread."""
        self._requests.pop(slot, None)
        if result.cancelled():
            return
        error = result.exception()
        if isinstance(error, ScanError):
            reply = _failure(slot, error)
        else:
            predicted = result.result()
            slots.write_ab(slot, predicted.ab)
            reply = {
                "slot": slot,
                "side": predicted.ab.shape[0],
                "certainty": predicted.certainty,
                "predict_ms": round(predicted.predict_ms, 3),
                "checkpoint_id": self._models.checkpoint_id(head, embedding),
                "head": head,
                "embedding": embedding,
            }
        slots.states[slot] = FREE
        try:
            self._reply(reply)
        except OSError:
            self.drop()

    def _reply(self, message: Message) -> None:
        with self._sending:
            send(self._connection, message)

    def _leave(self) -> None:
        """Give the child's slots back, also those with unanswered requests."""
        self._connection.close()
        for result in list(self._requests.values()):
            result.cancel()
        # Freed here, so that a reference to this handler does not keep the child's memory.
        self._slots, self.slot_count = None, 0
        self._changed()


def _failure(slot: int, error: ScanError) -> Message:
    return {"slot": slot, "code": error.code, "message": error.message, "permanent": error.permanent}


def _name(message: Message, field: str) -> str | None:
    value = message.get(field)
    if value is not None and not (isinstance(value, str) and value):
        raise ProtocolError(f"{field} is {str(value)[:40]!r}; expected a name or null")
    return value
