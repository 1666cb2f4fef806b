import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import scans
from worker.errors import UsageError
from worker.scans import FORMATS, content_type, is_scan_key, output_key
from worker.scans.format_names import format_of_content

NAMES = st.lists(st.sampled_from(["a", "b c", ".", "..", "jpg", "JPG", ".jpg", ".jpeg", ".tif", ".TIFF", ".png", "/"]))
SCAN_KEYS = NAMES.map("".join).filter(is_scan_key)


@given(SCAN_KEYS, SCAN_KEYS, st.sampled_from(FORMATS))
def test_two_scans_never_share_an_output(one: str, other: str, format: str) -> None:
    assert one == other or output_key(one, format) != output_key(other, format)


@given(SCAN_KEYS, st.sampled_from(FORMATS))
def test_an_output_lies_beside_its_scan_and_can_be_read_as_a_scan(key: str, format: str) -> None:
    assert output_key(key, format).startswith(key)
    assert is_scan_key(output_key(key, format))


@pytest.mark.parametrize(
    ("key", "format", "expected"),
    [
        ("a/0012.tif", "jpeg", "a/0012.tif.jpg"),
        ("a/0012.TIF", "tiff", "a/0012.TIF"),
        ("a/0012.jpeg", "jpeg", "a/0012.jpeg"),
        ("a.tif.jpg", "jpeg", "a.tif.jpg.jpg"),
        ("a.tif.jpg", "source", "a.tif.jpg.jpg"),
        ("a.b.jpg", "source", "a.b.jpg"),
        ("a.tif/b.jpg", "png", "a.tif/b.jpg.png"),
        ("a.jp2", "source", "a.jp2"),
        ("a.tif", "jp2", "a.tif.jp2"),
        ("a.j2k", "source", "a.j2k.jp2"),
        ("a.webp", "source", "a.webp"),
    ],
)
def test_an_output_key_names_its_format(key: str, format: str, expected: str) -> None:
    assert output_key(key, format) == expected


def test_only_known_extensions_are_scans() -> None:
    keys = ["a.jpg", "a.JPEG", "b/a.png", "a.tif", "a.Tiff", "a.svg", "jpg", ".jpg", "a.jpg/b", "a.jpg "]
    assert [key for key in keys if is_scan_key(key)] == keys[:5]


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="source, jpeg, png, tiff, jp2"):
        output_key("a.jpg", "gif")


def test_content_type_follows_the_extension() -> None:
    assert [content_type(key) for key in ("a.JPG", "a.tif", "a.png", "a")] == [
        "image/jpeg",
        "image/tiff",
        "image/png",
        "application/octet-stream",
    ]


def test_a_file_is_what_its_first_bytes_say() -> None:
    assert format_of_content(b"II+\x00\x08\x00\x00\x00") == "tiff"
    assert format_of_content(b"<svg xml") is None


def test_sorting_keys_loads_neither_libvips_nor_opencv() -> None:
    code = "import sys, worker.scans; print({'pyvips', 'cv2', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    assert all(getattr(scans, name) is not None for name in scans.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        scans.nothing  # noqa: B018
