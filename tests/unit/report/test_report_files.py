"""The CSV of a job's scans, and the contact sheet."""

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from scheduler.export.csv_file import write_csv
from scheduler.report.thumbnails.data_uri import thumbnail
from scheduler.standalone.contact_sheet import contact_sheet
from worker.errors import ScanError


def written(rows: list[dict[str, object]]) -> list[list[str]]:
    file = io.StringIO(newline="")
    write_csv(rows, file)
    file.seek(0)
    return list(csv.reader(file))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(start: str) -> None:
    assert written([{"source_key": start + "cmd|' /C calc'!A0"}])[1] == ["'" + start + "cmd|' /C calc'!A0"]


@pytest.mark.parametrize("key", ["a;=cmd()", "a\n=cmd()", 'a";@SUM(1)', "a\t+1"])
def test_no_cell_is_run_where_cells_end_at_semicolons_either(key: str) -> None:
    """In most of Europe cells end at semicolons, so quotes around a key do not keep it in one cell or on one line."""
    file = io.StringIO(newline="")
    write_csv([{"id": 1, "source_key": key}], file)

    cells = [cell for line in file.getvalue().splitlines() for cell in re.split("[;\t]", line)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_numbers_stay_numbers_and_nothing_stays_empty() -> None:
    at = datetime(2026, 3, 1, 1, 0, tzinfo=UTC)
    header, row = written([{"id": -3, "predict_ms": 1.5, "error_code": None, "finished_at": at}])

    assert header == ["id", "predict_ms", "error_code", "finished_at"]
    assert row == ["-3", "1.5", "", "2026-03-01T01:00:00+00:00"]


def test_a_key_with_commas_quotes_and_newlines_comes_back_whole() -> None:
    assert written([{"source_key": 'a "b",\nc'}])[1] == ['a "b",\nc']


def test_a_key_that_is_no_utf_8_can_be_written() -> None:
    assert written([{"source_key": "caf\udce9.tif"}])[1] == ["caf\\udce9.tif"]


def test_a_job_without_scans_gives_a_header_only() -> None:
    (header,) = written([])

    assert {"source_key", "state", "error_message"} <= set(header)


def test_the_contact_sheet_has_a_column_for_originals_only_where_there_are_any(tmp_path: Path) -> None:
    Image.new("L", (40, 30), 90).save(tmp_path / "scan.png")
    scan = tmp_path / "scan.png"
    contact_sheet([(scan, scan, None)], tmp_path / "two.jpg")
    contact_sheet([(scan, scan, None), (scan, scan, scan)], tmp_path / "three.png")

    assert Image.open(tmp_path / "three.png").width > Image.open(tmp_path / "two.jpg").width


def test_an_empty_contact_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet([], tmp_path / "sheet.png")


@pytest.mark.parametrize("content", [b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', b""])
def test_no_other_format_is_decoded_for_a_thumbnail_whatever_its_name_says(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(content)
    if not content:
        Image.new("L", (9, 9)).save(path, "GIF")
    with pytest.raises(ScanError, match="begins with the bytes"):
        thumbnail(path)
