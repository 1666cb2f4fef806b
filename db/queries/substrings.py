"""Compares the beginnings and parts of texts exactly.

LIKE can't be used: on SQLite it ignores case, so an account for /data/maps would see /data/MAPS. `<` and `>` can't be
used on PostgreSQL, where most databases sort texts as dictionaries do.
"""

from typing import Any

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class begins_with(GenericFunction[bool]):  # noqa: N801  a function of SQL's
    """`begins_with(text, beginning)`. An index serves it on SQLite, and on PostgreSQL in the collation C."""

    type = Boolean()
    inherit_cache = True


@compiles(begins_with, "postgresql")
def _begins_with_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"starts_with({compiler.process(element.clauses, **options)})"


@compiles(begins_with, "sqlite")
def _begins_with_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # SQLite compares the bytes of UTF-8. This is the last character, so no other one is greater.
    text, beginning = (compiler.process(part, **options) for part in element.clauses)
    return f"({text} >= {beginning} AND {text} < {beginning} || char(1114111))"


class has_part(GenericFunction[bool]):  # noqa: N801  a function of SQL's
    """`has_part(text, part)`: whether the text has that part."""

    type = Boolean()
    inherit_cache = True


@compiles(has_part, "postgresql")
def _has_part_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **options)}) > 0)"


@compiles(has_part, "sqlite")
def _has_part_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"
