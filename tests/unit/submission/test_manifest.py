"""Manifests: every form in which a list of scans is read, and files that are refused."""

import gzip
import os
from pathlib import Path

import pytest

from scheduler.submission.manifest import Entry, matches, read_manifest
from scheduler.submission.manifest_file import manifest_version
from worker.errors import UsageError
from worker.storage import S3Options

FULL = Entry("box 1/a.tif", "abc", 17, "a.tif.jpg")


def read(path: Path, text: str | bytes, source: str = "s3://archive/plates") -> list[Entry]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_manifest(str(path), source, S3Options()))


@pytest.mark.parametrize(
    "text",
    [
        "key,etag,bytes,output\nbox 1/a.tif,abc,17,a.tif.jpg\n",
        "\ufeffoutput,notes,bytes,etag,key\r\na.tif.jpg,torn,17,abc,box 1/a.tif\r\n",
        '{"key": "box 1/a.tif", "etag": "\\"abc\\"", "bytes": 17, "output": "a.tif.jpg"}\n\n',
        'key,etag,bytes,output\n"s3://archive/plates/box 1/a.tif",abc,17,a.tif.jpg\n',
    ],
)
def test_every_form_says_the_same(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == [FULL]
    assert read(tmp_path / "list.gz", gzip.compress(text.encode())) == [FULL]


def test_without_a_header_a_line_is_a_key(tmp_path: Path) -> None:
    assert read(tmp_path / "list", 'a.tif\n"b, c.tif"\n\n=d.tif\n') == [
        Entry("a.tif"),
        Entry("b, c.tif"),
        Entry("=d.tif"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a.tif\r\nb.tif\r\n",
        "\n\nkey\na.tif\n\nb.tif",
        '\ufeff{"key": "a.tif"}\r\n\r\n{"key": "b.tif"}\r\n',
        '\n{"key": "a.tif"}\n{"key": "b.tif"}',
        "key,notes\na.tif,\nb.tif,torn,\n",
    ],
)
def test_ends_of_lines_and_empty_ones_say_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == [Entry("a.tif"), Entry("b.tif")]


def test_a_quoted_key_may_go_over_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "list", 'key\n"a\nb.tif"\n') == [Entry("a\nb.tif")]


@pytest.mark.parametrize("text", ["", "\ufeff", "\r\n\n"])
def test_an_empty_list_has_no_scan(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == []


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("key,bytes\na.tif,many\n", 1, "many"),
        ('{"key": "a.tif"}\n{"name": "b.tif"}\n', 1, '"key"'),
        ('{"key": "a.tif"}\n{"key": ', 1, "JSONDecodeError"),
        ("s3://other/a.tif\n", 1, "is not in the source"),
        (b"\xff\xfe\x00", 0, "not encoded in UTF-8"),
        (gzip.compress(b"a.tif\nb.tif\n", mtime=0)[:-9], 0, "EOFError"),
        (gzip.compress(b"", mtime=0)[:10] + b"\x07" * 20, 0, "decompressing"),
        ('{"key": "a.tif"}\n["b.tif"]\n', 1, "expected an object"),
        ('[{"key": "a.tif"}, 17]', 1, "expected an object"),
        ('{"key": "\\ud800.tif"}\n', 0, "UTF-8"),
        ('{"key": "a.tif", "output": "\\u0000.tif"}\n', 0, "is not a key"),
        ('{"key": "a.tif", "bytes": 1e999}\n', 0, "inf"),
        ('{"key": "a.tif", "bytes": -1}\n', 0, "-1 bytes"),
        (f'{{"key": "a.tif", "bytes": {1 << 63}}}\n', 0, "expected how many"),
        ('{"key": ' + "[" * 100_000, 0, "RecursionError"),
        ("a.tif\nSmith, John/b.tif\n", 1, "quote what has a comma"),
        ("key,etag\nSmith, John/b.tif,abc\n", 1, "3 values, expected 2"),
        ("key,output,key\na.tif,,b.tif\n", 0, "comes twice"),
    ],
)
def test_an_invalid_manifest_is_refused_with_the_number_of_its_line(
    tmp_path: Path, text: str | bytes, line: int, why: str
) -> None:
    with pytest.raises(UsageError, match="manifest") as caught:
        read(tmp_path / "list", text)

    assert why in caught.value.message
    assert "\n" not in caught.value.message


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        list(read_manifest(str(tmp_path / "nowhere"), "s3://archive/plates", S3Options()))


def test_only_a_regular_file_is_a_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/proc/self/environ")

    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path("/dev/null"), Path("/proc/self/environ")):
        with pytest.raises(UsageError, match="not a regular file"):
            list(read_manifest(str(path), "s3://archive/plates", S3Options()))
        with pytest.raises(UsageError, match="not a regular file"):
            manifest_version(str(path), "s3://archive/plates", S3Options())


def test_keys_in_a_folder_may_be_whole_paths(tmp_path: Path) -> None:
    source = tmp_path / "plates"

    assert read(tmp_path / "list", f"{source}/a.tif\nb.tif\n", str(source)) == [Entry("a.tif"), Entry("b.tif")]


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ([], [], True),
        (["*.tif"], [], True),
        (["box 1/*"], [], True),
        (["box 2/*", "a*"], [], True),
        (["*.png"], [], False),
        ([], ["box */*.tif"], False),
        (["*.tif"], ["a.*"], False),
    ],
)
def test_patterns_choose(include: list[str], exclude: list[str], wanted: bool) -> None:
    assert matches("box 1/a.tif", include, exclude) is wanted


@pytest.mark.parametrize(
    "text",
    [
        "key;etag;bytes;output\nbox 1/a.tif;abc;17;a.tif.jpg\n",
        "key\tetag\tbytes\toutput\r\nbox 1/a.tif\tabc\t17\ta.tif.jpg\r\n",
        '[\n  {"key": "box 1/a.tif", "etag": "abc", "bytes": 17, "output": "a.tif.jpg"}\n]\n',
        "key,etag,bytes,output\n./box 1/a.tif,abc,17,a.tif.jpg\n",
    ],
    ids=["semicolons", "tabs", "JSON array", "find"],
)
def test_manifests_of_spreadsheets_and_programs_are_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == [FULL]


@pytest.mark.parametrize(
    "text",
    [
        f"{'0' * 64}  ./box 1/a.tif\n{'1' * 64} *b.tif\n",
        f"SHA256 (box 1/a.tif) = {'0' * 64}\nSHA256 (b.tif) = {'1' * 64}\n",
        '["box 1/a.tif", "b.tif"]',
    ],
    ids=["sha256sum", "BSD", "JSON array"],
)
def test_lists_of_keys_alone_are_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == [Entry("box 1/a.tif"), Entry("b.tif")]


@pytest.mark.parametrize(
    "text", ["sep=;\r\nkey;bytes\r\na.tif;17\r\n", '"sep=,"\nkey,bytes\na.tif,17\n', "key,bytes\na.tif,17\n   \n,\n"]
)
def test_a_line_for_excel_alone_and_empty_cells_say_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "list", text) == [Entry("a.tif", bytes=17)]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("../a.tif", r"line 2: '\.\./a\.tif' is no plain path inside the source [^;]*$"),
        ("box/../a.tif", "write 'a.tif'"),
        ("box//a.tif", "write 'box/a.tif'"),
    ],
)
def test_a_key_that_no_folder_has_is_refused_with_its_line(tmp_path: Path, key: str, why: str) -> None:
    (tmp_path / "list").write_text(f"key\n{key}\n")
    with pytest.raises(UsageError, match=why):
        list(read_manifest(str(tmp_path / "list"), str(tmp_path), S3Options()))
    entries = list(read_manifest(str(tmp_path / "list"), "s3://bucket/scans", S3Options()))
    assert [entry.key for entry in entries] == [key]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.tif;17\nb.tif;18\n", r"from its first line on.*a semicolon after 'a\.tif'.*key;bytes"),
        ("a.tif\t17\n", r"a tab after 'a\.tif'.*key\\tbytes"),
        ("b.tif\na.tif;out.tif\n", r"after line 1.*a semicolon after 'a\.tif'.*key;output"),
        ("a.tif\tout.tif\n", r"a tab after 'a\.tif'.*key\\toutput"),
        ("17;a.tif\n", r"a semicolon after '17'.*names the columns.*write key as the first line"),
        ("17;a.tif;other\n", r"a semicolon after '17'"),
        ("Datei;Ausgabe\na.tif;b.tif\n", r"after line 1.*a semicolon after 'a\.tif'"),
        ('key\n"two\nlines.tif"\n"two\nlines.tif"\n', r"line 4: .*is listed twice, first on line 2;"),
        ('key,bytes\n"two\nlines.tif",1\na.tif,1\na.tif,2\n', r"line 5: .*is listed twice, first on line 4;"),
        ("box\\a.tif\n", r"has backslashes; write 'box/a\.tif'"),
        ("a.tif\nb.tif\n./a.tif\n", r"'a\.tif' is listed twice, first on line 1"),
        (f"{'0' * 64}  a.tif\nb.tif\n", "not a line of a checksum list"),
    ],
)
def test_a_key_that_would_fail_later_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(tmp_path / "list", text)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_manifest_in_another_encoding_is_told_which_one_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("key\nCaffè.tif\n".encode(encoding))

    with pytest.raises(UsageError, match="from its first line on: it is not encoded in UTF-8; save it as UTF-8"):
        list(read_manifest(str(path), "s3://scans/box", S3Options()))


def test_a_name_with_a_semicolon_is_read_below_a_header(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("key\nDahlia; red.tif\n", encoding="utf-8")
    entries = list(read_manifest(str(tmp_path / "list"), "s3://bucket/scans", S3Options()))
    assert entries == [Entry("Dahlia; red.tif")]
