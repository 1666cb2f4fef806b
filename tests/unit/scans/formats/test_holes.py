"""Sectors of zeros in WebP and JPEG 2000 data, which the decoders take for valid codes."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.scans.conftest import Opener, grey_of, pillow_bytes
from tests.unit.scans.formats.jpeg.test_odd_jpegs import COLOUR, PICTURE
from worker.errors import ScanError

BLANK = np.full((256, 320), 200, np.uint8)
MOSTLY_BLANK = BLANK.copy()
MOSTLY_BLANK[20:60, 20:100] = PICTURE[20:60, 20:100]
PICTURES = {"grey": PICTURE, "colour": COLOUR, "mostly blank": MOSTLY_BLANK}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lossy WebP": ("a.webp", "WEBP", {"quality": 85}),
    "lossless WebP": ("a.webp", "WEBP", {"lossless": True}),
    "reversible": ("a.jp2", "JPEG2000", {}),
    "in layers": ("a.jp2", "JPEG2000", {"irreversible": True, "quality_mode": "rates", "quality_layers": [40, 20, 9]}),
    "in tiles": ("a.jp2", "JPEG2000", {"tile_size": (128, 128)}),
    "in precincts": ("a.jp2", "JPEG2000", {"precinct_size": (128, 128)}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_sector_of_zeros_is_a_failure(kind: str, picture: str, opened: Opener) -> None:
    name, format, options = KINDS[kind]
    data = pillow_bytes(PICTURES[picture], format, **options)
    length = min(512, len(data) // 4)
    for at in np.random.default_rng(1).integers(len(data) // 2, len(data) - length - 40, 4):
        with pytest.raises(ScanError) as refused:
            opened(data[:at] + bytes(length) + data[at + length :], name).model_input()
        assert refused.value.code in ("unreadable", "truncated")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", [*PICTURES, "blank"])
def test_a_whole_picture_has_no_hole(kind: str, picture: str, opened: Opener) -> None:
    name, format, options = KINDS[kind]
    data = pillow_bytes(PICTURES.get(picture, BLANK), format, **options)
    assert grey_of(opened(data, name)).shape == BLANK.shape


def test_code_blocks_that_later_layers_add_nothing_to_are_no_hole(opened: Opener) -> None:
    """The almost blank upper half is complete after a few layers; later layers give each of its blocks one zero bit."""
    rng = np.random.default_rng(1)
    picture = rng.normal(128, 25, (512, 512)).clip(0, 255).astype(np.uint8)
    picture[:300] = 40 + (rng.random((300, 512)) < 0.02)
    layers = {"quality_mode": "rates", "quality_layers": [64, 32, 16, 8, 6, 4, 3, 2.5, 2, 1.5, 1]}
    data = pillow_bytes(picture, "JPEG2000", codeblock_size=(4, 4), **layers)
    assert bytes(130) in data
    np.testing.assert_array_equal(grey_of(opened(data, "a.jp2")), picture)


# The picture is full without the last 8 bytes too: libwebp reads the distance of the last copy beyond the end.
ENDS_WITH_A_COPY = base64.b64decode(
    "UklGRrgAAABXRUJQVlA4TKsAAAAvL0AMAAXkSJIUSaqvVHTQmIVNC0qd1fseEf2fgMt/91a1MpNbkSDPZSzbyv6hIK048eDSewly"
    "yKUX5QdOkK7CjVXNPYguaj2RZOMgm43EBMckiGJwqYDJDMJJTlWStCiIdyNyX9I8SKUxLLfMVYKM0XUaf0pDED3L28tkVg/ychZG"
    "MagFyZ/rJK99OAc5qgdKrL8rCIlReptLQhCFwPnla1KQQb/CFd6d/woA"
)


def test_a_whole_webp_whose_last_code_is_long_has_no_hole(opened: Opener) -> None:
    expected = np.asarray(Image.open(io.BytesIO(ENDS_WITH_A_COPY)).convert("L"))
    assert np.abs(grey_of(opened(ENDS_WITH_A_COPY, "a.webp")).astype(int) - expected).max() <= 1
