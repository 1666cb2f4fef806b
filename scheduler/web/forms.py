"""Reads forms into the bodies of the API, and says beside the fields what is wrong."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from db.session import read_scope
from scheduler.actions import model_choices
from scheduler.web.api.schemas import SubmissionBody
from scheduler.web.context import Context
from worker.errors import UsageError

Body = TypeVar("Body", bound=BaseModel)
_LISTS = ("include", "exclude")
_SWITCHES = ("pyramid", "bag", "overwrite_accepted")


async def _fields(request: Request) -> dict[str, str]:
    """The texts of a form; forms have no files."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(_fields)]


def parse(body: type[Body], fields: dict[str, str]) -> Body:
    """A form's fields as a body. Empty fields are left out, and each line of a list is an entry.

    Raises UsageError with a sentence for people.
    """
    values: dict[str, Any] = {}
    for name in body.model_fields:
        text = fields.get(name, "").strip()
        if name in _SWITCHES:
            values[name] = bool(text)
        elif name in _LISTS:
            values[name] = [line.strip() for line in text.splitlines() if line.strip()]
        elif text:
            values[name] = text
    try:
        return body.model_validate(values)
    except ValidationError as error:
        problems = (f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors() if problem["loc"])
        raise UsageError(
            "; ".join(problems).replace("Input should be", "expected") or "the form can't be read"
        ) from None


def choices(context: Context) -> dict[str, Any]:
    """The choices for colours in a form: the checkpoints, heads and embeddings that running workers have."""
    with read_scope(context.engine) as session:
        offer = model_choices.offered(session, context.settings)
    return {
        "checkpoints": list(offer.checkpoints),
        "heads": list(offer.heads),
        "embeddings": list(offer.embeddings),
    }


DEFAULTS: dict[str, str] = {
    name: "" if field.default in (None, False) or not isinstance(field.default, (str, int)) else str(field.default)
    for name, field in SubmissionBody.model_fields.items()
}
