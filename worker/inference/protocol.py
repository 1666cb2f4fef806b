"""The messages between a child and its model server: a length and then a small JSON object, over a Unix socket.

Scans are not in the messages but in shared memory, so a message has a few dozen bytes, and JSON takes microseconds.
Pickle is never used, because a process that can reach the socket could then run code in the model server.

    child -> server   {"do": "hello"}                                   -> who the server is: ServerInfo
                      {"do": "attach", "slots": N} with a descriptor    -> ServerInfo too; a slot has the sides it says
                      {"do": "stats"}                                   -> counters
                      {"do": "predict", "slot": I, "alone": BOOL,
                       "head": NAME or null, "embedding": NAME or null}   -> one of the two below, when done
    server -> child   {"slot": I, "side": PIXELS, "certainty": 0..1 or null, "predict_ms": X,
                       "checkpoint_id": ..., "head": ..., "embedding": ...}
                      {"slot": I, "code": ..., "message": ..., "permanent": BOOL}
"""

import json
import os
import socket
import struct
from typing import Any

Message = dict[str, Any]

MAX_MESSAGE_BYTES = 64 << 10
MAX_SLOTS = 256
_LENGTH = struct.Struct("<I")


class ProtocolError(Exception):
    """The other side sent something that is not a message of this protocol."""


def send(connection: socket.socket, message: Message, descriptor: int | None = None) -> None:
    """Send one message, with an open file if `descriptor` is given. Raises OSError."""
    body = json.dumps(message).encode()
    framed = _LENGTH.pack(len(body)) + body
    if descriptor is None:
        connection.sendall(framed)
    else:
        sent = socket.send_fds(connection, [framed], [descriptor])
        connection.sendall(framed[sent:])


class Receiver:
    """Receives the messages on one socket, and the descriptor that came with the last one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._descriptor: int | None = None

    def receive(self) -> Message | None:
        """The next message, or None if the other side has closed the socket. Raises ProtocolError, OSError."""
        if not self._fill(_LENGTH.size):
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 2 <= length <= MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of {length} bytes; expected 2 to {MAX_MESSAGE_BYTES}")
        if not self._fill(_LENGTH.size + length):
            raise ProtocolError("the connection ended in the middle of a message")
        body = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
        del self._buffer[: _LENGTH.size + length]
        return _parse(body)

    def take_descriptor(self) -> int | None:
        """The open file that came with the message. The caller must close it."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def close(self) -> None:
        """Close a descriptor that was not taken."""
        descriptor = self.take_descriptor()
        if descriptor is not None:
            os.close(descriptor)

    def _fill(self, size: int) -> bool:
        """Read until the buffer holds `size` bytes; False at the end of the stream."""
        while len(self._buffer) < size:
            # At most one descriptor is accepted; the kernel closes any others.
            received, descriptors, _, _ = socket.recv_fds(self._connection, 4096, 1)
            for descriptor in descriptors:
                self.close()
                self._descriptor = descriptor
            if not received:
                return False
            self._buffer += received
        return True


def _parse(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a message that is no JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"a message that is a JSON {type(message).__name__}; expected an object")
    return message


def whole_number(message: Message, name: str, low: int, high: int) -> int:
    """`message[name]`, an int from `low` to `high`. Raises ProtocolError for anything else."""
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError(f"{name} is {str(value)[:40]!r}; expected a whole number from {low} to {high}")
    return value
