"""TIFFs of several pages: the output has the same pages, each with its own size, depth and colours."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from tests.unit.pipeline.test_pipeline import assignment, colorize, pipeline
from tests.unit.scans.conftest import Array, ramp
from worker.colour.lab import LUMINANCE, linear_to_srgb, rgb_to_lab, srgb_to_linear
from worker.errors import ScanError
from worker.pipeline.colorize import Page, Pipeline, page_groups
from worker.scans import OutputOptions, ScanLimits, open_scan_file, probe_pages

__all__ = ["pipeline"]  # a fixture

PAGES = [ramp(60, 90), ramp(120, 40, bits=16), ramp(33, 200)]


def tiff_of(pages: list[Array], **options: object) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=bool(options.pop("bigtiff", False))) as tiff:
        for number, page in enumerate(pages, 1):
            colours = "rgb" if page.ndim == 3 else "minisblack"
            tiff.write(page, photometric=colours, metadata=None, description=f"Leaf {number}", **options)
    return out.getvalue()


def grey_of(page: Array) -> Array:
    full = np.iinfo(page.dtype).max
    return np.asarray(linear_to_srgb(srgb_to_linear(page / full) @ LUMINANCE) * full)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}, {"tile": (16, 16)}])
def test_the_same_pages_come_out_in_colour(options: dict[str, object], pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of(PAGES, **options))
    measurements = colorize(pipeline, assignment("a.tif", "a.tif", "tiff"))

    assert (measurements.pages, measurements.width, measurements.height, measurements.bit_depth) == (3, 90, 60, 8)
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert len(tiff.pages) == 3
        for number, (page, source) in enumerate(zip(tiff.pages, PAGES, strict=True), 1):
            pixels = page.asarray()
            assert (pixels.shape, pixels.dtype) == ((*source.shape, 3), source.dtype)
            assert np.abs(grey_of(pixels) - source).max() <= (1 if source.dtype == np.uint8 else 66)
            assert page.aspage().description == f"Leaf {number}"
            assert page.aspage().tags[297].value == (number - 1, 3)
            assert b"compositeSynthetic" in bytes(page.aspage().tags[700].value)
            assert page.aspage().tags[34675].count > 100
    with Image.open(tmp_path / "out" / "a.tif") as image:
        assert getattr(image, "n_frames", 1) == 3


def test_the_row_has_the_mean_colour_of_all_pages_and_their_software(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of(PAGES))
    measurements = colorize(pipeline, assignment("a.tif", "a.tif", "tiff"))

    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        pages = [page.asarray() for page in tiff.pages]
        packet = bytes(tiff.pages[0].aspage().tags[700].value)
    means = [rgb_to_lab(page / np.iinfo(page.dtype).max)[..., 1:].mean(axis=(0, 1)) for page in pages]
    assert (measurements.mean_a, measurements.mean_b) == pytest.approx(tuple(np.mean(means, axis=0)), abs=0.1)
    assert np.hypot(*np.mean(means, axis=0)) > 1
    assert f'photochrom:Software="{measurements.software}"'.encode() in packet


def test_pages_beyond_4_gb_go_into_a_bigtiff(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.scans.writing.multi_page._CLASSIC_BYTES", 1000)
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of(PAGES))
    colorize(pipeline, assignment("a.tif", "a.tif", "tiff"))

    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert tiff.is_bigtiff
        assert [page.asarray().shape[:2] for page in tiff.pages] == [page.shape for page in PAGES]


def test_a_pyramids_copies_lie_below_their_page(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of([ramp(700, 900), ramp(600, 300, bits=16)]))
    scan = replace(assignment("a.tif", "a.tif", "tiff"), output=OutputOptions("tiff", pyramid=True))
    colorize(pipeline, scan)

    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert [page.shape[:2] for page in tiff.pages] == [(700, 900), (600, 300)]
        below = tiff.pages.first.pages
        assert below is not None
        smaller = below[0].asarray()
        assert smaller.shape[:2] == (350, 450)
        assert np.abs(grey_of(smaller) - ramp(700, 900)[::2, ::2]).max() < 8


def test_smaller_copies_of_a_page_are_no_pages(pipeline: Pipeline, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as tiff:
        tiff.write(ramp(200, 300), metadata=None)
        tiff.write(ramp(20, 30), subfiletype=1, metadata=None)
        tiff.write(ramp(100, 120), metadata=None)
    (tmp_path / "in" / "a.tif").write_bytes(out.getvalue())

    assert colorize(pipeline, assignment("a.tif", "a.tif", "tiff")).pages == 2
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as written:
        assert [page.shape[:2] for page in written.pages] == [(200, 300), (100, 120)]


@pytest.mark.parametrize("format", ["jpeg", "png", "jp2"])
def test_formats_of_one_page_are_refused(format: str, pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of(PAGES))
    with pytest.raises(ScanError, match=f"3 pages, which a {format.upper()} can't hold; expected --format tiff"):
        colorize(pipeline, assignment("a.tif", f"a.tif.{format}", format))
    assert not list((tmp_path / "out").iterdir())


def test_too_many_pages_and_too_many_pixels_in_all_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of(PAGES))
    scan = assignment("a.tif", "a.tif", "tiff")
    pixels = sum(page.size for page in PAGES)
    with pytest.raises(ScanError, match="3 pages; expected at most 2 .PHOTOCHROM_MAX_SCAN_PAGES"):
        colorize(replace(pipeline, limits=ScanLimits(1 << 20, pixels, max_pages=2)), scan)
    with pytest.raises(ScanError, match="pixels in its first 3 pages; expected at most"):
        colorize(replace(pipeline, limits=ScanLimits(1 << 20, pixels - 1)), scan)
    assert colorize(replace(pipeline, limits=ScanLimits(1 << 20, pixels, max_pages=3)), scan).pages == 3


def test_one_page_in_colour_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.tif").write_bytes(tiff_of([ramp(), data.astronaut()]))
    with pytest.raises(ScanError, match="page 2 of a.tif is in colour already") as refused:
        colorize(pipeline, assignment("a.tif", "a.tif", "tiff"))
    assert refused.value.code == "already_colour"


def test_a_damaged_page_leaves_no_output(pipeline: Pipeline, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (90, 90)).astype(np.uint8)
    whole = bytearray(tiff_of([ramp(), noise], compression="zlib"))
    whole[-2000:-1900] = bytes(100)
    (tmp_path / "in" / "a.tif").write_bytes(whole)
    with pytest.raises(ScanError) as refused:
        colorize(pipeline, assignment("a.tif", "a.tif", "tiff"))
    assert refused.value.code == "unreadable"
    assert not list((tmp_path / "out").iterdir())


def test_as_many_small_pages_are_predicted_at_once_as_fit(tmp_path: Path) -> None:
    """Only one page at a time is worked on, so the memory for strips counts once for the whole group."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of([ramp(60, 90)] * 20))
    limits = ScanLimits(max_bytes=1 << 30, max_pixels=1 << 30)
    file = open_scan_file(path, "a.tif", limits)
    pages = [Page(file, header) for header in probe_pages(file, limits)]
    assert [len(group) for group in page_groups(pages)] == [8, 8, 4]
