"""The table of error codes holds every code that is raised, and no other codes."""

import ast
from collections.abc import Iterator
from pathlib import Path

from worker.error_codes import ERROR_CODES, as_markdown, is_skipped

ROOT = Path(__file__).parents[3]
# These hand on the code of an error that was raised elsewhere.
HAND_ON = {"scheduler/web/pictures/pool.py", "worker/errors.py", "worker/inference/connection.py"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for package in ("db", "worker", "scheduler"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield str(path.relative_to(ROOT)), node


def raised() -> Iterator[tuple[str, str | None, bool | None]]:
    """Every ScanError that is made: its place, and its code and `permanent` if they are literals (else None)."""
    for where, call in calls():
        name = ast.unparse(call.func)
        permanent = {keyword.arg: keyword.value for keyword in call.keywords}.get("permanent")
        if name == "ScanError" or (name == "super().__init__" and permanent is not None):
            code = call.args[0] if call.args else None
            yield (
                f"{where}:{call.lineno}",
                code.value if isinstance(code, ast.Constant) and isinstance(code.value, str) else None,
                bool(permanent.value) if isinstance(permanent, ast.Constant) else None,
            )


def test_every_code_that_is_raised_is_in_the_table() -> None:
    unknown = [
        (where, code)
        for where, code, _ in raised()
        if code not in ERROR_CODES and not (code is None and where.split(":")[0] in HAND_ON)
    ]

    assert unknown == []


def test_the_table_of_error_codes_is_right_about_permanent_errors() -> None:
    wrong = [
        (where, code) for where, code, permanent in raised() if code and ERROR_CODES[code].permanent is not permanent
    ]

    assert wrong == []


def test_every_error_code_in_the_table_is_raised_somewhere() -> None:
    from db.queries.scans.leases import WORKER_KILLED

    assert set(ERROR_CODES) == {code for _, code, _ in raised() if code} | {WORKER_KILLED}


def test_the_page_is_the_tables() -> None:
    page = ROOT / "docs" / "error-codes.md"

    assert page.read_text(encoding="utf-8") == as_markdown(), "python -m worker.error_codes > docs/error-codes.md"


def test_only_what_is_left_alone_on_purpose_is_skipped() -> None:
    assert [code for code in ERROR_CODES if is_skipped(code)] == ["already_colour"]
    assert not is_skipped("unheard_of")
