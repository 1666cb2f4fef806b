"""A process that makes one picture after the other. It answers in JSON, so nothing that it sends can be run as code.

`python -m scheduler.web.pictures.child FD`: FD is its end of a socket pair.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scheduler.web.pictures import rendering
from worker.errors import PhotochromError, ScanError
from worker.scans import ScanLimits, configure_libraries
from worker.storage import S3Options, Storage, open_storage, parse_location
from worker.storage.folder.storage import FolderStorage
from worker.system.process_limits import limit_files, limit_processor_seconds, lower_priority

_NICE = 10  # pages must not slow down a pool on the same machine
_STORAGES = 16  # at most this many are kept open
_ERROR_HEAD = "error"
_FETCHED = json.dumps(
    {"fetched": True}
).encode()  # sent before the answer, so that a slow store is told from a slow file


def main() -> None:
    """Answer requests until the other end of the socket is closed."""
    connection = Connection(int(sys.argv[1]))
    lower_priority(_NICE)
    configure_libraries()
    limits = json.loads(connection.recv_bytes())
    _limit_memory(limits["memory_bytes"])
    limit_files(limits["file_bytes"])
    maker = _Maker(Path(limits["scratch"]), lambda: connection.send_bytes(_FETCHED))
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        # Who asked kills this process at its time; but nobody does if that process was killed itself.
        limit_processor_seconds(limits["seconds"])
        connection.send_bytes(json.dumps(maker.answer(request)).encode())
        content, maker.content = maker.content, b""
        connection.send_bytes(content)


def _limit_memory(beyond_bytes: int) -> None:
    """Limit the process' address space to its present size plus `beyond_bytes`."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit_bytes = pages * resource.getpagesize() + beyond_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Maker:
    """`scratch`: for files while pictures are made from them. Who kills this process empties the folder.

    `note_fetched` is called when the file of a picture is there.
    """

    def __init__(self, scratch: Path, note_fetched: Callable[[], None]) -> None:
        self._scratch, self._note_fetched = scratch, note_fetched
        self._storages: dict[tuple[str, bool], Storage] = {}
        self.content = b""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        tasks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "thumbnail": self._thumbnail,
            "pyramid": self._pyramid,
            "levels": self._levels,
            "tile": self._tile,
        }
        try:
            return tasks[request["task"]](request)
        except ScanError as error:
            return {_ERROR_HEAD: error.code, "message": error.message}
        except PhotochromError as error:
            return {_ERROR_HEAD: "storage_unavailable", "message": error.message}
        except MemoryError:
            return {_ERROR_HEAD: "too_large", "message": "the picture needs more memory than a page may use"}
        except Exception as error:
            return {_ERROR_HEAD: "internal", "message": f"the picture could not be made ({type(error).__name__})"}

    def _thumbnail(self, request: dict[str, Any]) -> dict[str, Any]:
        def make(path: Path) -> None:
            limits, target = ScanLimits(**request["limits"]), Path(request["target"])
            rendering.thumbnail(path, request["key"], limits, request["size"], target)

        self._with_file(request, make)
        return {}

    def _pyramid(self, request: dict[str, Any]) -> dict[str, Any]:
        pyramids: list[rendering.Pyramid] = []

        def make(path: Path) -> None:
            limits, target = ScanLimits(**request["limits"]), Path(request["target"])
            pyramids.append(rendering.make_pyramid(path, request["key"], limits, target))

        self._with_file(request, make)
        return {"levels": pyramids[0].levels}

    def _levels(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"levels": rendering.read_pyramid(Path(request["path"])).levels}

    def _tile(self, request: dict[str, Any]) -> dict[str, Any]:
        place = request["level"], request["column"], request["row"]
        self.content = rendering.tile(Path(request["path"]), *place)
        return {}

    def _with_file(self, request: dict[str, Any], use: Callable[[Path], None]) -> None:
        """Call `use` with the file.

        A file in a folder is read by a link in another folder, because libraries may write beside the file that they
        read.
        """
        storage = self._storage(request["uri"], S3Options(**request["s3"]), is_source=request["is_source"])
        version = {"etag": request["etag"], "max_bytes": request["limits"]["max_bytes"]}
        with tempfile.TemporaryDirectory(prefix="picture-", dir=self._scratch) as folder:
            path = Path(folder, "scan")
            if isinstance(storage, FolderStorage):
                with storage.read_in_place(request["key"], **version) as source:
                    path.symlink_to(source)
                    self._note_fetched()
                    use(path)
            else:
                storage.fetch(request["key"], path, **version)
                self._note_fetched()
                use(path)

    def _storage(self, uri: str, s3: S3Options, *, is_source: bool) -> Storage:
        name = uri, is_source
        if name not in self._storages:
            if len(self._storages) >= _STORAGES:
                self._storages.clear()
            self._storages[name] = open_storage(parse_location(uri), s3=s3, is_source=is_source)
        return self._storages[name]


if __name__ == "__main__":
    main()
