"""What a form sent, as the API's own bodies; and what is wrong with it, in words beside the fields."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from scheduler.web.api.schemas import SubmissionBody
from scheduler.web.context import Context
from worker.errors import PhotochromError, UsageError
from worker.inference.colour_options import HEADS
from worker.model.checkpoint import bundled_checkpoint_path, read_card

Body = TypeVar("Body", bound=BaseModel)
_LISTS = ("include", "exclude")
_SWITCHES = ("pyramid", "bag")


async def _fields(request: Request) -> dict[str, str]:
    """Texts alone: the forms have no files."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(_fields)]


def parse(body: type[Body], fields: dict[str, str]) -> Body:
    """Empty fields are left out, lines of a list are its entries. Raises UsageError, in a sentence for a person."""
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
        raise UsageError("; ".join(problems).replace("Input should be", "expected") or "the form is wrong") from None


def choices(context: Context) -> dict[str, Any]:
    """What a form offers of colours: the heads, and the embeddings of the checkpoint that is configured here."""
    try:
        card = read_card(context.settings.checkpoint or bundled_checkpoint_path())
        return {"heads": list(card.heads), "embeddings": list(card.embeddings)}
    except (PhotochromError, OSError):
        return {"heads": list(HEADS), "embeddings": []}


DEFAULTS: dict[str, str] = {
    name: "" if field.default in (None, False) or not isinstance(field.default, (str, int)) else str(field.default)
    for name, field in SubmissionBody.model_fields.items()
}
