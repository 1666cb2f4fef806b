"""The keys and sizes of a listing on disk, so that ten million of them take hardly any memory."""

import sqlite3
from collections.abc import Iterable, Sequence

_CACHE_KIB = 32_768
_ASKED_AT_ONCE = 500


class KeySpool:
    """A temporary SQLite file. It is removed when it is closed or the process dies."""

    def __init__(self) -> None:
        # With an empty name, SQLite makes a private temporary file, and deletes it as soon as it is open.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("CREATE TABLE stored (key TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID")

    def add(self, entries: Iterable[tuple[str, int]]) -> None:
        """Add keys with their sizes in bytes. If a key comes twice, the last size counts."""
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR REPLACE INTO stored VALUES (?, ?)", entries)
        self._connection.execute("COMMIT")

    def add_new(self, key: str, number: int) -> int | None:
        """Store a number for a key. If the key has one already, that number stays and is returned."""
        inserted = self._connection.execute("INSERT OR IGNORE INTO stored VALUES (?, ?)", (key, number))
        return None if inserted.rowcount else self.sizes([key])[key]

    def sizes(self, keys: Sequence[str]) -> dict[str, int]:
        """The sizes of these keys, without keys that were not added."""
        sizes: dict[str, int] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = keys[start : start + _ASKED_AT_ONCE]
            places = ",".join("?" * len(part))
            query = f"SELECT key, bytes FROM stored WHERE key IN ({places})"  # noqa: S608  question marks alone
            sizes.update(self._connection.execute(query, part))
        return sizes

    def close(self) -> None:
        self._connection.close()
