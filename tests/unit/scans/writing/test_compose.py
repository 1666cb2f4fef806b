"""The colour image agrees with CIE's formulas in scikit-image; Pillow and tifffile read it back."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from skimage.color import rgb2lab

from tests.unit.scans.conftest import (
    Array,
    Opener,
    colours,
    pillow_bytes,
    ramp,
    tiff_bytes,
    write_colour,
)
from worker.colour.lab import rgb_to_lab
from worker.errors import ScanError, UsageError
from worker.scans import Box, ModelInput, OutputOptions, compose
from worker.scans.reading import probe
from worker.scans.reading import scan as opening
from worker.scans.writing import compose as composing
from worker.scans.writing.upsample import Upsampler

LOSSLESS = ["png", "tiff"]
NEUTRAL = np.zeros((400, 400, 2), np.float32)


def lab_of(pixels: Array) -> NDArray[np.float64]:
    return np.asarray(rgb2lab(pixels[..., :3] / np.iinfo(pixels.dtype).max))


def lightness_of_grey(grey: Array) -> NDArray[np.float64]:
    return lab_of(np.dstack([grey] * 3))[..., 0]


@pytest.mark.parametrize("format", LOSSLESS)
def test_8_bit_lightness_is_the_scans_own_within_half_a_level(format: str, opened: Opener, tmp_path: Path) -> None:
    grey = ramp(200, 300)
    output, _ = write_colour(opened(tiff_bytes(grey)), tmp_path, format, colours(strength=60))
    assert output.dtype == np.uint8
    levels = np.interp(lab_of(output)[..., 0], lightness_of_grey(np.arange(256, dtype=np.uint8)[None])[0], range(256))
    assert np.abs(levels - grey).max() <= 0.75


@pytest.mark.parametrize("format", LOSSLESS)
def test_16_bit_scans_give_16_bit_colour_of_the_same_lightness(format: str, opened: Opener, tmp_path: Path) -> None:
    grey = ramp(200, 300, bits=16)
    scan = opened(tiff_bytes(grey))
    path = tmp_path / f"output.{format}"
    composed = compose(scan, scan.model_input(), colours(strength=60), OutputOptions(format), path)
    assert composed.bit_depth == 16
    output = _read_16_bits(path)
    off = np.abs(lab_of(output)[..., 0] - lightness_of_grey(grey))
    assert off.max() < 0.01


@pytest.mark.parametrize("bits", [8, 16])
def test_without_colour_the_scan_comes_back_unchanged(bits: int, opened: Opener, tmp_path: Path) -> None:
    grey = ramp(37, 91, bits)
    output, composed = write_colour(opened(tiff_bytes(grey)), tmp_path, "tiff", NEUTRAL)
    np.testing.assert_array_equal(output, np.dstack([grey] * 3))
    assert composed.colourfulness == 0
    assert composed.mean_ab == pytest.approx((0, 0), abs=0.05)


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_srgb_can_show_are_the_models(bits: int, opened: Opener, tmp_path: Path) -> None:
    middle = np.full((50, 50), 150 if bits == 8 else 150 * 257, np.uint8 if bits == 8 else np.uint16)
    for a, b in [(20, 30), (-25, 10), (5, -35)]:
        ab = np.full((400, 400, 2), (a, b), np.float32)
        output, _ = write_colour(opened(tiff_bytes(middle)), tmp_path, "tiff", ab)
        assert np.abs(lab_of(output)[..., 1:] - (a, b)).max() < (0.7 if bits == 8 else 0.05)


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_beyond_srgb_lose_chroma_but_neither_lightness_nor_hue(
    bits: int, opened: Opener, tmp_path: Path
) -> None:
    grey = ramp(64, 64, bits)
    for a, b in [(90, 60), (-90, 80), (60, -100), (0, 120)]:
        output, _ = write_colour(opened(tiff_bytes(grey)), tmp_path, "tiff", np.full((400, 400, 2), (a, b), np.float32))
        lab = lab_of(output)
        assert np.abs(lab[..., 0] - lightness_of_grey(grey)).max() < (0.35 if bits == 8 else 0.02)
        chroma = np.hypot(lab[..., 1], lab[..., 2])
        turned = np.abs(np.angle((lab[..., 1] + 1j * lab[..., 2]) / complex(a, b), deg=True))
        assert chroma.max() > 40
        assert turned[chroma > 15].max() < (4 if bits == 8 else 0.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (30, 600), (601, 31), (399, 401), (13, 17), (801, 450)])
@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_the_output_has_exactly_the_scans_size(
    size: tuple[int, int], format: str, opened: Opener, tmp_path: Path
) -> None:
    height, width = size
    output, composed = write_colour(opened(tiff_bytes(ramp(height, width))), tmp_path, format)
    assert output.shape == (height, width, 3)
    assert (composed.width, composed.height) == (width, height)
    assert composed.bytes == (tmp_path / f"output.{format}").stat().st_size


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", [(211, 307), (2403, 401)])
def test_strips_meet_without_a_seam(
    bits: int, size: tuple[int, int], opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiff_bytes(ramp(*size, bits))
    whole, _ = write_colour(opened(data), tmp_path, "tiff")
    for strip_pixels in (1, 307 * 7, 307 * 100):
        monkeypatch.setattr(composing, "_STRIP_PIXELS", strip_pixels)
        np.testing.assert_array_equal(write_colour(opened(data), tmp_path, "tiff")[0], whole)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("format", LOSSLESS)
def test_a_streamed_scan_gives_what_a_held_one_gives(
    bits: int, format: str, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiff_bytes(ramp(503, 307, bits), compression="zlib", rowsperstrip=16)
    held = opened(data)
    whole, model_input = write_colour(held, tmp_path, format)[0], held.model_input()
    for module in (probe, composing):
        monkeypatch.setattr(module, "HELD_BYTES", 0)
    monkeypatch.setattr(opening, "STREAM_BLOCK_BYTES", 307 * 50)
    streamed = opened(data)
    assert not streamed.header.is_held
    np.testing.assert_array_equal(write_colour(streamed, tmp_path, format)[0], whole)
    assert np.abs(streamed.model_input().lightness - model_input.lightness).max() < 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"output.{format}", "source"]


def test_the_models_colours_are_laid_over_the_picture_at_pixel_centres() -> None:
    ab = np.zeros((8, 8, 2), np.float32)
    ab[:, :, 0], ab[:, :, 1] = np.arange(8), np.arange(8)[:, None]
    out = np.empty((2, 8, 16), np.float32)
    Upsampler(ab, Box(0, 2, 8, 4), 16, 8).rows(0, out)
    np.testing.assert_allclose(out[0, 0], ((np.arange(16) + 0.5) / 2 - 0.5).clip(0, 7))
    np.testing.assert_allclose(out[1, :, 0], 2 + ((np.arange(8) + 0.5) / 2 - 0.5).clip(0, 3))


@pytest.fixture(params=["held", "streamed"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with pixels held in memory, and with pixels that are streamed."""
    if request.param == "streamed":
        for module in (probe, composing):
            monkeypatch.setattr(module, "HELD_BYTES", 0)


def test_a_streamed_scan_that_turns_out_damaged_fails_with_its_code(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "HELD_BYTES", 0)
    monkeypatch.setattr(composing, "HELD_BYTES", 0)
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), np.uint8)
    data = pillow_bytes(noise, "JPEG")
    scan = opened(data[: len(data) // 2], "box/1.jpg")
    model_input = ModelInput(np.zeros((400, 400), np.float32), Box(0, 66, 400, 267))
    for read in (
        scan.model_input,
        lambda: compose(scan, model_input, NEUTRAL, OutputOptions("png"), tmp_path / "out.png"),
    ):
        with pytest.raises(ScanError, match="box/1.jpg ends after") as failed:
            read()
        assert failed.value.code == "truncated"
    assert not (tmp_path / "out.png").exists()


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("format", LOSSLESS)
def test_alpha_survives(format: str, opened: Opener, tmp_path: Path) -> None:
    image = Image.fromarray(ramp()).convert("LA")
    image.putalpha(Image.fromarray(ramp()[::-1].copy()))
    output, _ = write_colour(opened(pillow_bytes(image, "PNG"), "a.png"), tmp_path, format)
    np.testing.assert_array_equal(output[..., 3], ramp()[::-1])
    assert output[..., 0].std() > 10


@pytest.mark.usefixtures("memory")
def test_transparency_is_never_dropped_for_jpeg(opened: Opener, tmp_path: Path) -> None:
    image = Image.fromarray(ramp()).convert("LA")
    write_colour(opened(pillow_bytes(image, "PNG"), "a.png"), tmp_path, "jpeg")  # opaque all over: nothing is lost
    image.putpixel((5, 5), (100, 0))
    with pytest.raises(ScanError, match="transparent") as refused:
        write_colour(opened(pillow_bytes(image, "PNG"), "a.png"), tmp_path, "jpeg")
    assert refused.value.code == "unsupported"
    assert not (tmp_path / "output.jpeg").exists()


def test_a_scan_too_long_for_jpeg_is_refused_before_anything_is_written(opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(np.zeros((1, 65_501), np.uint8)))
    with pytest.raises(ScanError, match="65,500 a side") as refused:
        write_colour(scan, tmp_path, "jpeg", NEUTRAL)
    assert (refused.value.code, refused.value.permanent) == ("unsupported", True)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_16_bit_scan_has_8_bits_where_there_is_no_more_room_and_that_is_named(
    format: str, opened: Opener, tmp_path: Path
) -> None:
    grey = ramp(64, 64, bits=16)
    output, composed = write_colour(opened(tiff_bytes(grey)), tmp_path, format, NEUTRAL)
    assert (composed.bit_depth, composed.lost) == (8, ("depth (8 of 16 bits are kept)",))
    assert np.abs(output[..., 1].astype(int) - np.rint(grey / 257)).max() <= (2 if format == "jpeg" else 0)
    assert write_colour(opened(tiff_bytes(grey)), tmp_path, "tiff", NEUTRAL)[1].lost == ()


def test_16_bits_of_transparency_are_rounded_to_8(opened: Opener, tmp_path: Path) -> None:
    alpha = ramp(64, 64, bits=16)
    both = tiff_bytes(np.dstack([alpha, alpha]), photometric="minisblack", extrasamples=["unassalpha"])
    output, _ = write_colour(opened(both, "a.webp"), tmp_path, "webp", NEUTRAL)
    np.testing.assert_array_equal(output[..., 3], np.rint(alpha / 257))


def test_jpeg_keeps_its_chroma_at_full_size(opened: Opener, tmp_path: Path) -> None:
    write_colour(opened(tiff_bytes(ramp())), tmp_path, "jpeg")
    with Image.open(tmp_path / "output.jpeg") as image:
        assert isinstance(image, JpegImageFile)
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_colourfulness_is_that_of_hasler_and_suesstrunk(opened: Opener, tmp_path: Path) -> None:
    output, composed = write_colour(opened(tiff_bytes(ramp(200, 200))), tmp_path, "tiff")
    red, green, blue = np.moveaxis(output.astype(float), -1, 0)
    first, second = red - green, (red + green) / 2 - blue
    expected = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    assert composed.colourfulness == pytest.approx(expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_mean_colour_is_that_of_the_output(bits: int, opened: Opener, tmp_path: Path) -> None:
    green = np.full((400, 400, 2), (-12, 9), np.float32)
    output, composed = write_colour(opened(tiff_bytes(ramp(200, 200, bits))), tmp_path, "tiff", green)
    expected = rgb_to_lab(output / np.iinfo(output.dtype).max)[..., 1:].mean(axis=(0, 1))
    assert composed.mean_ab == pytest.approx(expected, abs=0.1)
    assert composed.mean_ab[0] < -5 < 5 < composed.mean_ab[1]


def test_many_threads_write_what_one_writes(opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(ramp(300, 500)))
    model_input = scan.model_input()

    def write(number: int) -> bytes:
        path = tmp_path / f"{number}.tif"
        compose(scan, model_input, colours(strength=10 + number % 4), OutputOptions("tiff"), path)
        return path.read_bytes()

    alone = [write(number) for number in range(4)]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(write, range(24)))
    assert all(data == alone[number % 4] for number, data in enumerate(together))


def test_an_output_that_cant_be_written_may_pass_later(opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(ramp()), "box/1.tif")
    with pytest.raises(ScanError) as failed:
        compose(scan, scan.model_input(), NEUTRAL, OutputOptions("tiff"), tmp_path / "no folder" / "output.tif")
    assert (failed.value.code, failed.value.permanent) == ("unwritable", False)
    assert "box/1.tif" in failed.value.message
    assert str(tmp_path) not in failed.value.message


def test_output_options_say_what_they_take() -> None:
    for options in ({"format": "gif"}, {"format": "jpeg", "quality": 0}):
        with pytest.raises(UsageError, match="expected"):
            OutputOptions(**options)  # type: ignore[arg-type]


def _read_16_bits(path: Path) -> Array:
    if path.suffix == ".tiff":
        return np.asarray(tifffile.imread(path))
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))[..., ::-1]  # Pillow has no 48-bit PNG


@pytest.mark.parametrize("ab", [np.zeros((100, 100, 2)), np.full((400, 400, 2), np.nan)])
def test_colours_that_are_none_are_refused(ab: Array, opened: Opener, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        write_colour(opened(tiff_bytes(ramp())), tmp_path, "png", ab)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "none"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_compressed_as_asked_without_loss(
    bits: int, compression: str, opened: Opener, tmp_path: Path
) -> None:
    scan = opened(tiff_bytes(ramp(bits=bits)))
    ab = colours()
    plain = tmp_path / "plain.tif"
    compose(scan, scan.model_input(), ab, OutputOptions("tiff", compression="none"), plain)
    compose(scan, scan.model_input(), ab, OutputOptions("tiff", compression=compression), tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        assert image.tag_v2[259] == {"deflate": 8, "lzw": 5, "none": 1}[compression]  # type: ignore[attr-defined]
    one, other = pyvips.Image.tiffload(str(plain)), pyvips.Image.tiffload(str(tmp_path / "out.tif"))
    np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(UsageError, match="deflate, lzw, none"):
        OutputOptions("tiff", compression="zip")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_pyramid_has_tiles_and_halved_copies_and_is_still_one_page(bits: int, opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(ramp(700, 1000, bits), resolution=(300, 300), description="A street"))
    compose(scan, scan.model_input(), colours(), OutputOptions("tiff", pyramid=True), tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        pages = [page.aspage() for page in tiff.pages]
        assert [(page.imagelength, page.imagewidth) for page in pages] == [(700, 1000), (350, 500), (175, 250)]
        assert all(page.is_tiled for page in pages)
        assert pages[0].tags[270].value == "A street"
        whole = pages[0].asarray()
    compose(scan, scan.model_input(), colours(), OutputOptions("tiff"), tmp_path / "flat.tif")
    np.testing.assert_array_equal(whole, tifffile.imread(tmp_path / "flat.tif"))
    assert opened((tmp_path / "out.tif").read_bytes()).width == 1000
