"""The stages of a scan in a worker, in their order."""

from enum import StrEnum


class Stage(StrEnum):
    """One stage. Its value is its name in metrics and reports; with `_ms`, it is the column of a scan's row."""

    FETCH = "fetch"
    OPEN = "open"
    WAIT = "wait"  # for its batch to begin
    PREDICT = "predict"
    COMPOSE = "compose"
    STORE = "store"

    @property
    def column(self) -> str:
        """The column with the milliseconds of this stage."""
        return f"{self.value}_ms"


STAGE_COLUMNS = tuple(stage.column for stage in Stage)
