"""The stages of a scan's way through a worker, in their order."""

from enum import StrEnum


class Stage(StrEnum):
    """Its value is its name in metrics, reports and, before `_ms`, in the columns of a scan's row."""

    FETCH = "fetch"
    OPEN = "open"
    WAIT = "wait"  # for its batch to begin
    PREDICT = "predict"
    COMPOSE = "compose"
    STORE = "store"

    @property
    def column(self) -> str:
        """The column with its milliseconds."""
        return f"{self.value}_ms"
