"""Lines of a terminal: one for each row, paths shortened in the middle, keys never broken."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from scheduler.cli.display.columns import Columns, shortened


def printed(columns: Columns, width: int = 80, *, soft_wrap: bool = False) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(columns, soft_wrap=soft_wrap)
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("path", "width", "short"),
    [
        ("a/b.tif", 20, "a/b.tif"),
        ("s3://archive/glass-plates/1905/box 7/0001.tif", 24, "s3://archive/g…/0001.tif"),
        ("s3://archive/glass-plates/1905/box 7/", 20, "s3://archive/…/box 7"),
        ("s3://archive/glass-plates", 15, "s…/glass-plates"),
        ("an-endless-name-without-a-folder.tif", 11, "an-en…r.tif"),
        ("アーカイブ/ガラス乾板/0001.tif", 16, "アーカ…/0001.tif"),
    ],
)
def test_a_long_path_loses_its_middle(path: str, width: int, short: str) -> None:
    assert shortened(path, width) == short
    assert cell_len(shortened(path, width)) <= width


def test_the_last_column_is_shortened_to_the_terminal() -> None:
    lines = printed(Columns(("job", "name"), [("1", f"s3://archive/{'x' * 90}/plates")], shorten=True))

    assert len(lines) == 2
    assert cell_len(lines[1]) <= 80
    assert lines[1].endswith("…/plates")


def test_a_key_is_never_broken() -> None:
    key = f"{'box' * 40}/0001.tif"

    lines = printed(Columns(("state", "scan"), [("done", key)]), soft_wrap=True)

    assert lines[1] == f"done   {key}"


def test_numbers_stand_on_the_right_and_empty_columns_are_left_out() -> None:
    lines = printed(Columns(("job", "left", "name"), [("9", "", "a"), ("10", "", "b")], numbers=("job",)))

    assert lines == ["job  name", "  9  a", " 10  b"]


def test_control_characters_are_shown_as_escapes() -> None:
    assert printed(Columns(("scan",), [("a\x1b[2J\n.tif",)]))[1] == r"a\x1b[2J\n.tif"
