"""The keys and sizes of a listing, on disk: ten million of them take no memory to speak of."""

import sqlite3
from collections.abc import Iterable, Sequence

_CACHE_KIB = 32_768
_ASKED_AT_ONCE = 500


class KeySpool:
    """A temporary SQLite file, which SQLite itself removes when it is closed or the process dies."""

    def __init__(self) -> None:
        # An empty name is a private file in the folder for temporary files, deleted as soon as it is open.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("CREATE TABLE stored (key TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID")

    def add(self, entries: Iterable[tuple[str, int]]) -> None:
        """Keys with their sizes in bytes; of one that comes twice, the last size counts."""
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR REPLACE INTO stored VALUES (?, ?)", entries)
        self._connection.execute("COMMIT")

    def add_new(self, key: str, number: int) -> int | None:
        """Keep a number for a key; where it has one already, that stays and is returned."""
        inserted = self._connection.execute("INSERT OR IGNORE INTO stored VALUES (?, ?)", (key, number))
        return None if inserted.rowcount else self.sizes([key])[key]

    def sizes(self, keys: Sequence[str]) -> dict[str, int]:
        """The sizes of those of these keys that are there."""
        sizes: dict[str, int] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = keys[start : start + _ASKED_AT_ONCE]
            places = ",".join("?" * len(part))
            query = f"SELECT key, bytes FROM stored WHERE key IN ({places})"  # noqa: S608  question marks alone
            sizes.update(self._connection.execute(query, part))
        return sizes

    def close(self) -> None:
        self._connection.close()
