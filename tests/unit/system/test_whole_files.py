"""A file that is written beside its place and then renamed is either whole or not there at all."""

from pathlib import Path

import pytest

from worker.system.whole_files import write_beside_then_rename


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")

    with write_beside_then_rename(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # files can be renamed only within one disk
        assert part.suffix == path.suffix  # many libraries choose the format by it

    assert files(tmp_path) == {"card.json": "new"}


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")

    with pytest.raises(ZeroDivisionError), write_beside_then_rename(path) as part:
        part.write_text(f"new {1 / 0}")

    assert files(tmp_path) == {"card.json": "old"}


def test_two_writers_of_one_file_do_not_write_into_one_another_s(tmp_path: Path) -> None:
    path = tmp_path / "card.json"

    with write_beside_then_rename(path) as one, write_beside_then_rename(path) as other:
        one.write_text("one")
        other.write_text("other")

    assert files(tmp_path) == {"card.json": "one"}
