"""Files with more channels than grey or RGB, or with channels that are stored separately."""

import itertools
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.unit.scans.conftest import ramp, tiff_bytes
from tests.unit.scans.variants.variant import Variant

GREY8, GREY16 = ramp(64, 96), ramp(64, 96, 16)
FLOATS = (GREY16 / 65535).astype(np.float32)
TURNED = [(274, 3, 1, 6, True)]  # orientation 6: a quarter turn clockwise
LAYOUTS: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 7}, "tiles": {"tile": (16, 32)}}


def channel_variants() -> list[Variant]:
    return [*_alpha_and_turned(), *_channels_apart(), *_other_channels(), *_empty_profile()]


def _alpha_and_turned() -> Iterator[Variant]:
    for grey, planar in itertools.product((GREY8, GREY16), ("contig", "separate")):
        alpha = grey[::-1].copy()
        bands = np.stack([grey] * 3 + [alpha], axis=2 if planar == "contig" else 0)
        data = tiff_bytes(
            bands, photometric="rgb", planarconfig=planar, extrasamples=["unassalpha"], compression="zlib",
            extratags=TURNED, **LAYOUTS["tiles"],
        )  # fmt: skip
        yield Variant(f"tiff rgba {grey.dtype} tiles {planar}, turned", data, np.rot90(grey, -1))
        full = int(np.iinfo(grey.dtype).max)
        whole = np.stack([grey, np.full_like(grey, full)], axis=2)
        data = tiff_bytes(whole, photometric="minisblack", extrasamples=["assocalpha"], planarconfig="contig")
        yield Variant(f"tiff {grey.dtype} multiplied by alpha, {planar}", data, grey)
    rgba = np.dstack([FLOATS] * 3 + [FLOATS[::-1]])
    data = tiff_bytes(rgba, photometric="rgb", extrasamples=["unassalpha"], planarconfig="contig", extratags=TURNED)
    yield Variant("tiff float rgba, turned", data, np.rot90(GREY16, -1), within=1)
    for name, colours in (("grey alpha", [GREY16]), ("rgba", [GREY16] * 3)):
        yield Variant(f"png 16 {name}", imagecodecs.png_encode(np.dstack([*colours, GREY16[::-1]])), GREY16)


def _channels_apart() -> Iterator[Variant]:
    """Each channel in strips or tiles of its own."""
    halves = FLOATS.astype(np.float16)
    for (layout, how), predictor in itertools.product(LAYOUTS.items(), (False, True)):
        options: dict[str, Any] = {"planarconfig": "separate", "compression": "zlib", "predictor": predictor, **how}
        name = f"{layout} separate{' predictor' if predictor else ''}"
        data = tiff_bytes(np.stack([halves] * 3), photometric="rgb", **options)
        yield Variant(f"tiff half floats rgb {name}", data, GREY16, within=16)
        data = tiff_bytes(np.stack([FLOATS] * 3), photometric="rgb", **options)
        yield Variant(f"tiff float rgb {name}", data, GREY16)
        whole = np.ones_like(FLOATS)
        data = tiff_bytes(np.stack([FLOATS, whole]), photometric="minisblack", extrasamples=["unassalpha"], **options)
        yield Variant(f"tiff float alpha {name}", data, GREY16)
    for shown, layout in itertools.product((GREY8, GREY16, FLOATS), LAYOUTS):
        full, kind = (1.0 if shown is FLOATS else np.iinfo(shown.dtype).max), shown.dtype
        multiplied, alpha = (shown / 2).astype(kind), np.full(shown.shape, full / 2, kind)
        for name, photometric, colours in (("grey", "minisblack", 1), ("rgb", "rgb", 3)):
            data = tiff_bytes(
                np.stack([multiplied] * colours + [alpha]), photometric=photometric, planarconfig="separate",
                extrasamples=["assocalpha"], **LAYOUTS[layout],
            )  # fmt: skip
            name = f"tiff {name} {kind} multiplied by alpha {layout} separate"
            yield Variant(name, data, GREY16 if shown is FLOATS else shown, within=3)


def _empty_profile() -> Iterator[Variant]:
    none = [(34675, 7, 0, b"", True)]
    for planar, (layout, how) in itertools.product(("contig", "separate"), LAYOUTS.items()):
        rgb = np.stack([GREY8] * 3, axis=2 if planar == "contig" else 0)
        data = tiff_bytes(rgb, photometric="rgb", planarconfig=planar, extratags=none, **how)
        yield Variant(f"tiff rgb with a profile of no bytes {layout} {planar}", data, GREY8)


def _other_channels() -> Iterator[Variant]:
    """Channels that are neither colour nor alpha, such as a film scanner's infrared, before or after an alpha."""
    infrared = GREY16[::-1].copy()
    extras = (["unspecified"], ["unspecified"] * 2, ["unassalpha", "unspecified"], ["unspecified", "unassalpha"])
    for extra, planar, layout in itertools.product(extras, ("contig", "separate"), LAYOUTS):
        for name, photometric, colours in (("grey", "minisblack", 1), ("rgb", "rgb", 3)):
            if colours == 1 and extra == ["unspecified"] * 2:
                continue  # refused, like a file of five channels
            data = tiff_bytes(
                np.stack([GREY16] * colours + [infrared] * len(extra), axis=2 if planar == "contig" else 0),
                photometric=photometric, planarconfig=planar, extrasamples=extra, **LAYOUTS[layout],
            )  # fmt: skip
            yield Variant(f"tiff {name} and {' and '.join(extra)} {layout} {planar}", data, GREY16)
