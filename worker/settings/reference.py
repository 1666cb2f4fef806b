"""The reference of all settings, made from the settings class, for docs/settings.md and `photochrom settings`."""

import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from worker.settings.settings import PREFIX, Settings

_HEAD = """\
# Settings

Every setting is an environment variable. All processes of a pool take the same ones; a name that begins with
`PHOTOCHROM_` and is none of these is refused, so that you notice a misspelt name. `photochrom settings` shows what is
in force here. S3's credentials and region are the usual `AWS_*` variables, which boto3 reads itself.

`photochrom settings --markdown` makes this page from [worker/settings/settings.py](../worker/settings/settings.py).

| variable | default | expected | meaning |
|---|---|---|---|
"""
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text", SecretStr: "text, secret"}
# Defaults that depend on the machine, in words.
_OF_THE_MACHINE = {
    "children": "as many as cores, fewer where memory is short",
    "in_flight_bytes": "1073741824, less where memory is short",
    "scratch_folder": "the usual temporary folder",
}


@dataclass(frozen=True, slots=True)
class Setting:
    variable: str
    value: str  # the present value; empty if it is not set
    default: str
    expected: str
    meaning: str


def described(model: type[Settings], settings: Settings | None = None) -> list[Setting]:
    """Every setting that people may set, in the order of the class, with the values in `settings`."""
    return [
        Setting(
            f"{PREFIX}{name}".upper(),
            "" if settings is None else _shown(getattr(settings, name)),
            _default(name, field),
            _expected(field),
            str(field.description),
        )
        for name, field in model.model_fields.items()
        if "Set by" not in str(field.description)
    ]


def as_markdown(model: type[Settings]) -> str:
    rows = [
        f"| `{row.variable}` | {row.default and f'`{row.default}`'} | {row.expected} | {row.meaning} |\n"
        for row in described(model)
    ]
    return _HEAD + "".join(rows)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "***" if isinstance(value, SecretStr) else str(value)


def _default(name: str, field: FieldInfo) -> str:
    if name in _OF_THE_MACHINE:
        return _OF_THE_MACHINE[name]
    if field.default is PydanticUndefined or field.default is None:
        return ""
    if isinstance(field.default, SecretStr):
        return field.default.get_secret_value()
    return _shown(field.default)


def _expected(field: FieldInfo) -> str:
    type_name = _kind(field.annotation)
    limits = [_limit(constraint) for constraint in field.metadata]
    return ", ".join([type_name, *filter(None, limits)])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return _kind(next(member for member in get_args(annotation) if member is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _kind(get_args(annotation)[0])
    return _KINDS.get(annotation, "a path")


def _limit(metadata: Any) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "multiple_of": "a multiple of"}
    limits = {name: getattr(metadata, name, None) for name in words}
    return ", ".join(f"{words[name]} {limit:g}" for name, limit in limits.items() if limit is not None)
