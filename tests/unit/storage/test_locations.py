from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.storage import FolderLocation, S3Location, overlap, parse_location


@pytest.mark.parametrize(
    ("text", "name", "prefix", "uri"),
    [
        ("s3://box", "box", "", "s3://box"),
        ("s3://box/", "box", "", "s3://box"),
        ("s3://box/a/b/", "box", "a/b", "s3://box/a/b"),
        ("s3://my.box-1/a b/é#?%20", "my.box-1", "a b/é#?%20", "s3://my.box-1/a b/é#?%20"),
    ],
)
def test_an_s3_location_is_read(text: str, name: str, prefix: str, uri: str) -> None:
    location = parse_location(text)
    assert location == S3Location(name, prefix)
    assert location.uri == uri


@pytest.mark.parametrize(
    "text",
    [
        *("", "s3:/x", "s3:x", "s3://", "s3:///x", "s3://UPPER_bad", "s3://ab", "s3://a..b", "S3://box"),
        *("http://host/x", "gs://box/x", "file:///x", "s3://box/a//b", "s3://box/../b", "s3://box/a\nb"),
        *("a\0b", "caf\udce9", "~nobody-here/x"),
    ],
)
def test_anything_else_is_refused_and_the_message_says_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"give s3://bucket, s3://bucket/prefix or the path of a folder"):
        parse_location(text)


@pytest.mark.parametrize("text", ["s3://key:hunter2@box/a", "https://u:hunter2@h/x", "https://h/x?X-Signature=hunter2"])
def test_a_secret_in_a_refused_location_is_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_location(text)
    assert "hunter2" not in refused.value.message


def test_a_folder_location_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_location("scans/box 3/") == FolderLocation(tmp_path / "scans/box 3")
    assert parse_location("a/../scans").uri == str(tmp_path / "scans")
    assert parse_location("~/scans").uri == "/home/somebody/scans"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("s3://box", "s3://box/out", True),
        ("s3://box/a", "s3://box/a", True),
        ("s3://box/a/b", "s3://box/a", True),
        ("s3://box/a", "s3://box/ab", False),
        ("s3://box/a", "s3://box/b", False),
        ("s3://box/a", "s3://other/a", False),
        ("s3://box/a", "/box/a", False),
        ("/photos", "/photos/out", True),
        ("/photos", "/photos-out", False),
        ("/", "/photos", True),
    ],
)
def test_locations_overlap_when_one_lies_inside_the_other(a: str, b: str, expected: bool) -> None:
    assert overlap(parse_location(a), parse_location(b)) is expected
    assert overlap(parse_location(b), parse_location(a)) is expected


def test_a_symlink_does_not_hide_an_overlap(tmp_path: Path) -> None:
    (tmp_path / "masters").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "masters")
    assert overlap(FolderLocation(tmp_path / "masters"), FolderLocation(tmp_path / "link" / "out"))


def test_another_path_to_the_same_folder_does_not_hide_an_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can bind-mount a folder at a second place, so the test itself says which folders are the same."""
    masters, bound = tmp_path / "masters", tmp_path / "bound"
    masters.mkdir()
    bound.mkdir()
    monkeypatch.setattr(Path, "samefile", lambda self, other: {self, other} == {masters, bound})

    assert overlap(FolderLocation(masters), FolderLocation(bound))
    assert overlap(FolderLocation(masters), FolderLocation(bound / "out"))
    assert overlap(FolderLocation(masters / "box"), FolderLocation(bound))
    assert not overlap(FolderLocation(masters), FolderLocation(tmp_path / "out"))
