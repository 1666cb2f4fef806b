"""JPEG 2000 files whose components are palette numbers, or luma and chroma; and files with empty tiles."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from tests.unit.scans.conftest import Opener, grey_of, pillow_bytes, ramp
from tests.unit.scans.formats.jp2.jp2_files import codestream_of, jp2_of, palette_boxes
from worker.colour.lab import LUMINANCE, linear_to_srgb, srgb_to_linear
from worker.errors import ScanError
from worker.scans.formats.jp2 import boxes
from worker.scans.reading.colour_detection import COLOURED_SHARE, coloured_share

GREY = ramp(64, 96)
PHOTOGRAPH = data.astronaut()[:256, :320]


@pytest.mark.parametrize("inverted", [False, True])
def test_a_palette_of_greys_is_read(inverted: bool, opened: Opener) -> None:
    palette = np.arange(256, dtype=np.uint8)[:: -1 if inverted else 1]
    file = jp2_of(codestream_of([GREY], [(1, 1)]), (64, 96, 1), boxes.SRGB, palette_boxes(np.dstack([palette] * 3)[0]))
    np.testing.assert_array_equal(grey_of(opened(file, "a.jp2")), palette[GREY])


def test_a_palette_in_colour_is_colour(opened: Opener) -> None:
    image = Image.fromarray(PHOTOGRAPH).quantize(64)
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    numbers = np.asarray(image)
    scan = opened(jp2_of(codestream_of([numbers], [(1, 1)]), (256, 320, 1), boxes.SRGB, palette_boxes(palette)), "a")
    level = linear_to_srgb(srgb_to_linear(palette[numbers] / 255) @ LUMINANCE) * 255
    assert np.abs(grey_of(scan) - level).max() <= 1
    assert coloured_share(scan.file) >= COLOURED_SHARE


@pytest.mark.parametrize("step", [(1, 1), (2, 1), (2, 2)])
def test_luma_and_chroma_are_read_at_any_sampling(step: tuple[int, int], opened: Opener) -> None:
    luma, red, blue = cv2.split(cv2.cvtColor(PHOTOGRAPH, cv2.COLOR_RGB2YCrCb))
    size = (320 // step[0], 256 // step[1])
    chroma = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (blue, red)]
    scan = opened(jp2_of(codestream_of([luma, *chroma], [(1, 1), step, step]), (256, 320, 3), boxes.SYCC), "a.jp2")
    level = linear_to_srgb(srgb_to_linear(PHOTOGRAPH / 255) @ LUMINANCE) * 255
    assert np.abs(grey_of(scan) - level).mean() < 3
    assert coloured_share(scan.file) >= COLOURED_SHARE


def test_greys_in_luma_alone_stay_grey(opened: Opener) -> None:
    flat = np.full((32, 48), 128, np.uint8)
    scan = opened(jp2_of(codestream_of([GREY, flat, flat], [(1, 1), (2, 2), (2, 2)]), (64, 96, 3), boxes.SYCC), "a.jp2")
    np.testing.assert_allclose(grey_of(scan).astype(int), GREY.astype(int), atol=1)
    assert coloured_share(scan.file) == 0


def test_sizes_that_no_chroma_has_are_refused(opened: Opener) -> None:
    file = jp2_of(codestream_of([GREY, GREY[::4, ::4]], [(1, 1), (4, 4)]), (64, 96, 2), boxes.GREY)
    with pytest.raises(ScanError, match="different sizes"):
        opened(file, "a.jp2")


def test_a_tile_that_holds_nothing_is_damage(opened: Opener) -> None:
    file = bytearray(pillow_bytes(GREY, "JPEG2000", tile_size=(48, 32), irreversible=False, no_jp2=True))
    first = file.index(b"\xff\x90")
    length = int.from_bytes(file[first + 6 : first + 10], "big")
    start = file.index(b"\xff\x93", first) + 2
    file[first + 6 : first + 10] = (start - first).to_bytes(4, "big")
    del file[start : first + length]
    with pytest.raises(ScanError, match="fewer bytes in tile 0") as refused:
        opened(bytes(file), "a.j2k")
    assert refused.value.code == "unreadable"
