"""The model server: the one process that holds the fusion model on its device.

    python -m worker.inference.server --socket PATH --checkpoint FOLDER --batch-size N --batch-wait-milliseconds M

It writes `ready` to standard error as soon as it accepts requests. After SIGTERM it finishes the running batch and
exits with 0. Exit status 2: the checkpoint or the arguments are wrong, and starting again won't help; 1: the device
failed.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import stat
import sys
import threading
from functools import partial
from pathlib import Path

from worker.errors import CheckpointError, PhotochromError, UsageError
from worker.inference.batch_size import is_out_of_memory, load_fastest, load_largest
from worker.inference.batching import Batcher
from worker.inference.models.interface import Colours, LoadedModels, LoadModel, Model
from worker.inference.models.stub_model import StubColorizer
from worker.inference.protocol import Message
from worker.inference.session import Handler
from worker.model.backends.loading import load_backend
from worker.model.packing import PackedLightness
from worker.observability.logs import configure_logging
from worker.settings.model_options import ModelOptions
from worker.system.parent_watch import end_with_parent

logger = logging.getLogger("worker.inference.server")

_LOOK_SECONDS = 0.5


class ModelServer:
    """Accepts connections, gives scans to the Batcher and returns results."""

    def __init__(self, model: Model, load: LoadModel, listener: socket.socket, batch_wait_seconds: float) -> None:
        self._models = LoadedModels(model, load)
        self._listener, self._slot_size = listener, model.slot_size
        self._batcher = Batcher(
            self._predict,
            model.batch_size,
            batch_wait_seconds,
            side_px=model.slot_size.lightness_px,
            prepare=self._models.prepare,
            out_of_memory=is_out_of_memory,
            resized=self._load_again,
        )
        self._info: Message = {
            "checkpoint_id": model.checkpoint_id_of(model.head),
            "head": model.head,
            "heads": model.heads,
            "embedding": model.embedding,
            "precision": model.precision,
            "input_px": model.input_px,
            "doubtful_below": model.doubtful_below,
            "lightness_px": model.slot_size.lightness_px,
            "ab_px": model.slot_size.ab_px,
            "device": model.device,
            "pid": os.getpid(),
        }
        self._handlers: set[Handler] = set()
        self._changing = threading.Lock()

    def serve_until(self, stop: threading.Event) -> int:
        """Serve until `stop` is set (returns 0) or the device fails (returns 1)."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        while not stop.wait(_LOOK_SECONDS):
            if not self._batcher.healthy():
                logger.error("prediction after prediction fails: the device is lost, or the model can't run on it")
                return 1
        # This comes first, so that the next server's socket is never removed.
        Path(self._listener.getsockname()).unlink(missing_ok=True)
        self._listener.close()
        self._batcher.close()
        return 0

    def _predict(self, lightness: PackedLightness, embedding: str) -> Colours:
        return self._models.predict(lightness, embedding)

    def _load_again(self, batch_size: int) -> None:
        """A model's batch size is a part of its graph, so models are loaded again.

        The large one must be freed before the small one is loaded.
        """
        self._models.resize(batch_size)
        gc.collect()

    def _about(self) -> Message:
        return {**self._info, "batch_size": self._batcher.stats().batch_size}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the listener is closed: the server stops
            handler = Handler(
                connection, self._about, self._batcher, self._models, self._count_slots, slot_size=self._slot_size
            )
            with self._changing:
                self._handlers.add(handler)
            threading.Thread(target=self._handle, args=(handler,), name="handler", daemon=True).start()

    def _handle(self, handler: Handler) -> None:
        try:
            handler.run()
        finally:
            with self._changing:
                self._handlers.discard(handler)

    def _count_slots(self) -> None:
        with self._changing:
            self._batcher.set_possible(sum(handler.slot_count for handler in self._handlers))


def listen(path: Path) -> socket.socket:
    """Open a Unix socket that only this user can reach. Raises UsageError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
        raise UsageError(f"{path.parent} can be entered by other users; expected a folder of mode 0700 for the socket")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise UsageError(f"can't listen on {path}: {error.strerror or error}; give another --socket") from error
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a server that was killed. Raises UsageError if a server still answers there."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise UsageError(f"a model server is already listening on {path}; stop it or give another --socket")


def load_model(
    options: ModelOptions, batch_size: int, embedding: str | None = None, lightness_px: int | None = None
) -> Model:
    """Load the fusion model onto its device and warm it up, or make its stub. Raises CheckpointError.

    embedding: used instead of that in the options. lightness_px: the side of incoming scans, if it is fixed already.
    """
    if options.stub_milliseconds is not None:
        return StubColorizer(options.stub_milliseconds, batch_size)
    if options.checkpoint is None:
        raise CheckpointError("no checkpoint was given; expected --checkpoint FOLDER")
    load_backend()
    # TensorFlow takes seconds and hundreds of megabytes, so it is loaded only if it is needed.
    from worker.inference.models.fusion_model import FusionModel

    return FusionModel.load(options, batch_size, embedding or options.embedding, lightness_px)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.inference.server", description="Photochrom's model server")
    parser.add_argument("--socket", type=Path, required=True, help="path of the Unix socket to listen on")
    ModelOptions.add_arguments(parser)
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="of its log")
    parser.add_argument("--parent", type=int, help="process id of the parent, to end with it")
    return parser.parse_args(arguments)


def main() -> int:
    arguments = parse()
    configure_logging("INFO", arguments.log_format)
    end_with_parent(arguments.parent)
    options = ModelOptions.of_arguments(arguments)
    load = partial(load_model, options)
    try:
        model = load_largest(load, options.batch_size) if options.batch_size else load_fastest(load)
        listener = listen(arguments.socket)
    except PhotochromError as error:
        print(error.message, file=sys.stderr)
        return 2
    stop = threading.Event()
    # Set only now, so that a signal while the model loads ends the process at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logger.info(
        "ready: checkpoint %s, batches of %d, %s",
        model.checkpoint_id_of(model.head),
        model.batch_size,
        arguments.socket,
    )
    return ModelServer(model, load, listener, options.batch_wait_milliseconds / 1000).serve_until(stop)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # The device's threads may never end. They have nothing left to do.
    os._exit(code)
