"""The folder that the processes of one worker share: for the model server's socket and the sign to drain."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UsageError
from worker.settings.settings import Settings
from worker.system.process_names import machine_name
from worker.system.temp_folders import own_folder, usual_folder


def _short_folder() -> Path:
    """The usual temporary folder, or a shorter one if a socket's path in it would be too long. Raises UsageError."""
    folder = usual_folder()
    return Path("/tmp") if len(os.fsencode(folder)) > 60 else folder  # noqa: S108


@dataclass(frozen=True, slots=True)
class Runtime:
    """A worker's unique name, and its folder.

    The folder's path is short, because a Unix socket's path has at most 107 bytes.
    """

    worker_name: str
    folder: Path
    scratch_folder: Path

    @classmethod
    @contextmanager
    def of_new_worker(cls, scratch_folder: Path) -> "Iterator[Runtime]":
        """A runtime for the block. If the worker is killed, the next worker on this machine removes its folder.

        scratch_folder: contains the worker's own folder, in which children keep the scans that they work on.
        """
        name = f"{machine_name()}{uuid.uuid4().hex[:6]}-{os.getpid()}"
        with (
            own_folder("photochrom-worker-", _short_folder()) as folder,
            own_folder("photochrom-scratch-", scratch_folder) as scratch,
        ):
            yield cls(name, folder, scratch)

    @classmethod
    def of_this_worker(cls, settings: Settings) -> "Runtime":
        """The runtime that the worker's supervisor made; its children know it from their environment."""
        if settings.worker_name is None or settings.runtime_folder is None:
            raise UsageError("Celery was started by itself; start it with: photochrom worker")
        return cls(settings.worker_name, settings.runtime_folder, settings.scratch_folder)

    def holder(self) -> str:
        """The name of this process as the holder of a lease."""
        return f"{self.worker_name}/{os.getpid()}"

    def environment(self) -> dict[str, str]:
        return {
            "PHOTOCHROM_PARENT_PID": str(os.getpid()),
            "PHOTOCHROM_WORKER_NAME": self.worker_name,
            "PHOTOCHROM_RUNTIME_FOLDER": str(self.folder),
            "PHOTOCHROM_SCRATCH_FOLDER": str(self.scratch_folder),
        }

    def model_socket(self, number: int = 0) -> Path:
        """The socket of the worker's model server with this number."""
        return self.folder / (f"model-{number}.sock" if number else "model.sock")

    @property
    def scan_event_socket(self) -> Path:
        return self.folder / "scans.sock"

    def drain(self, reason: str = "") -> None:
        """Tell the children to finish the scans that they work on, and to hand back the others.

        `reason`: the supervisor ends with this message.
        """
        (self.folder / "draining").write_text(reason, encoding="utf-8")

    def drain_reason(self) -> str:
        return (self.folder / "draining").read_text(encoding="utf-8")

    def is_draining(self) -> bool:
        return (self.folder / "draining").exists()
