"""Types of parameters in addresses, forms and bodies, which are checked before the database is asked."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from db.queries.pages.scans import ScanFilter

LARGEST = 2**63 - 1  # the database's largest number
LONGEST_KEY = 4_096

Id = Annotated[int, Path(ge=1, le=LARGEST)]
ScanId = Annotated[int, Field(ge=1, le=LARGEST)]


def _none_if_empty(value: Any) -> Any:
    """None for the empty text that a form sends for an empty field."""
    return None if value == "" else value


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a NUL, which no database can store")
    return text


Words = Annotated[str, AfterValidator(_without_nul)]
State = Annotated[Literal["pending", "done", "failed", "skipped"] | None, BeforeValidator(_none_if_empty)]
VerdictName = Annotated[Literal["accepted", "rejected", "redone", "none"] | None, BeforeValidator(_none_if_empty)]
Code = Annotated[Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] | None, BeforeValidator(_none_if_empty)]
KeyPart = Annotated[Annotated[Words, Field(max_length=LONGEST_KEY)] | None, BeforeValidator(_none_if_empty)]
OrderName = Literal["listing", "key", "doubtful", "uncertain", "colourful", "pale"]
CursorText = Annotated[Annotated[str, Field(max_length=8_000)] | None, BeforeValidator(_none_if_empty)]
Note = Annotated[Annotated[Words, Field(max_length=2_000)] | None, BeforeValidator(_none_if_empty)]


class ScanQuery(BaseModel):
    """Which of a job's scans, and in which order."""

    state: State = Field(None, description="Only scans in this state.")
    code: Code = Field(None, description="Only scans with this error code.")
    verdict: VerdictName = Field(
        None, description="Only scans with this latest verdict; none: scans without a verdict."
    )
    doubtful: bool = Field(False, description="Only outputs that a person should look at.")
    key: KeyPart = Field(None, description="Only scans whose source key contains this text.")
    unlike: bool = Field(False, description="Only outputs whose colours are unlike their folder's; up to 30,000 scans.")
    order: OrderName = Field("listing", description="Scans without the value that orders them come last.")

    @property
    def filter(self) -> ScanFilter:
        return ScanFilter(self.state, self.code, self.verdict, self.doubtful, self.key, self.unlike)

    def arguments(self) -> dict[str, str]:
        """The parameters for an address, without those that have their default."""
        changed = self.model_dump(exclude_defaults=True)
        return {name: "true" if value is True else str(value) for name, value in changed.items() if value is not None}


Asked = Annotated[ScanQuery, Query()]
