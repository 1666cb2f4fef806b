"""Checks of settings: sentences about wrong values, and unknown names."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from worker.errors import UsageError

# Kubernetes sets such variables in every pod for each Service in its namespace, also for one called photochrom-...
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT\w*)$|_PORT(_\d+_(TCP|UDP)\w*)?$")
# A variable of the test suite: a folder with more photographs than the repository can hold.
_OF_THE_TESTS = "TEST_"

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<name>[^?]*)(?:\?.*)?", re.DOTALL)

_EXPECTED = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "path_not_directory": "a folder that is there",
    "string_too_short": "at least one character",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "literal_error": "{expected}",
}


def refuse_unknown(environment: Mapping[str, str], fields: Iterable[str], *, prefix: str) -> None:
    """Raises UsageError for a variable whose name begins like a setting's but is unknown, because it would have no
    effect.
    """
    names = {name.upper() for name in fields}
    unknown = [name for name in environment if _is_unknown(name, environment[name], names, prefix)]
    if unknown:
        raise UsageError("; ".join(_unknown(name, names, prefix) for name in sorted(unknown)))


def sentence(problem: Any, model: type[BaseModel], *, prefix: str) -> str:
    """A sentence for one of pydantic's problems: the variable, its value (unless it is a secret), and what was
    expected.
    """
    if not problem["loc"]:
        return f"{prefix}* settings: {str(problem['msg']).removeprefix('Value error, ')}"
    field = str(problem["loc"][0])
    words = _EXPECTED.get(problem["type"])
    if words is None:
        return f"{prefix}{field.upper()}: {problem['msg']}"
    problem_words = "can't be that" if _is_secret(model, field) else f"is {str(problem['input'])[:60]!r}"
    return f"{prefix}{field.upper()} {problem_words}; expected {words.format(**problem.get('ctx', {}))}"


def _is_unknown(name: str, value: str, names: set[str], prefix: str) -> bool:
    setting = name.upper().removeprefix(prefix)
    if not name.upper().startswith(prefix) or setting in names or setting.startswith(_OF_THE_TESTS):
        return False
    return not (_OF_KUBERNETES.search(setting) and re.match(r"tcp://|udp://|\d|[0-9a-f:.]+$", value))


def _unknown(name: str, names: set[str], prefix: str) -> str:
    similar = difflib.get_close_matches(name.upper().removeprefix(prefix), names, n=1, cutoff=0.5)
    meant = f"did you mean {prefix}{similar[0]}?" if similar else "photochrom settings lists all settings"
    return f"{name} is not a setting; {meant}"


def _is_secret(model: type[BaseModel], field: str) -> bool:
    annotation = model.model_fields[field].annotation
    return annotation is SecretStr or SecretStr in get_args(annotation)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database, from a URL with any driver (`sqlite+pysqlite:///...`) and also from one with a
    `file:` URI (`sqlite:///file:/path?uri=true`). None for a database in memory, and for another database.

    SQLite's own URIs: https://www.sqlite.org/uri.html
    """
    match = _SQLITE.fullmatch(url)
    name = match["name"] if match else ""
    if not name or name == ":memory:":
        return None
    if name.lower().startswith("file:"):
        name = unquote(re.sub("^file:(?://[^/]*)?", "", name, flags=re.IGNORECASE))
    return Path(name) if name and name != ":memory:" else None
