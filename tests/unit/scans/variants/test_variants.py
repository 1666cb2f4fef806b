"""Each format variant in the table is read correctly and keeps its lightness, or is refused with its code."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.unit.scans.conftest import Opener, colours, grey_of
from tests.unit.scans.variants.table import all_variants
from tests.unit.scans.variants.variant import Variant
from worker.colour.lab import LUMINANCE, linear_to_srgb, srgb_to_linear
from worker.error_codes import ERROR_CODES
from worker.errors import ScanError
from worker.scans import OutputOptions, compose

VARIANTS = all_variants()
READ = [variant for variant in VARIANTS if variant.code is None]
REFUSED = [variant for variant in VARIANTS if variant.code]


def by_name(variant: Variant) -> str:
    return variant.name


def test_the_table_is_long_enough_and_names_nothing_twice() -> None:
    assert len(READ) >= 60
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("variant", READ, ids=by_name)
def test_each_level_of_grey_is_read_exactly(variant: Variant, opened: Opener) -> None:
    assert variant.grey is not None
    scan = opened(variant.data, "a.tif")
    assert scan.bit_depth == (16 if variant.grey.dtype == np.uint16 else 8)
    np.testing.assert_allclose(grey_of(scan).astype(int), variant.grey.astype(int), atol=variant.within)


@pytest.mark.parametrize("variant", [one for one in READ if one.name.endswith(" and unspecified")], ids=by_name)
def test_a_channel_that_is_no_alpha_is_left_out(variant: Variant, opened: Opener) -> None:
    assert not opened(variant.data, "a.tif").header.has_alpha


@pytest.mark.parametrize("variant", READ, ids=by_name)
def test_its_colour_image_has_its_lightness(variant: Variant, opened: Opener, tmp_path: Path) -> None:
    scan = opened(variant.data, "a.tif")
    compose(scan, scan.model_input(), colours(), OutputOptions("tiff"), tmp_path / "out.tif")
    output = tifffile.imread(tmp_path / "out.tif")[..., :3]
    full = np.iinfo(output.dtype).max
    level = linear_to_srgb(srgb_to_linear(output / full) @ LUMINANCE) * full
    off = np.abs(level - grey_of(scan))
    assert output.shape == (scan.height, scan.width, 3)
    assert (off <= (1 if full == 255 else full * 0.001)).mean() >= 0.999


@pytest.mark.parametrize("variant", REFUSED, ids=by_name)
def test_it_is_refused_with_its_code(variant: Variant, opened: Opener) -> None:
    with pytest.raises(ScanError) as refused:
        opened(variant.data, "a.tif").model_input()
    assert (refused.value.code, refused.value.permanent) == (variant.code, True)
    assert refused.value.code in ERROR_CODES
