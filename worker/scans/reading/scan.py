"""Opens a scan: gives its pixels as sRGB grey in strips, and its model input. Bad files are refused."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.scans.geometry import Box
from worker.scans.reading.colour_detection import OwnColours, marks_of
from worker.scans.reading.film_borders import find_picture, scaled
from worker.scans.reading.grey import check_range, to_grey
from worker.scans.reading.loading import check_checksums, load, load_header, reading
from worker.scans.reading.model_input import MODEL_INPUT_SIZE, ModelInput, box_in_square, fit, make_model_input
from worker.scans.reading.panorama import ModelInputs, inputs_along, is_long, length_of
from worker.scans.reading.probe import HELD_BYTES, ScanHeader, orientation_field, probe_pages
from worker.scans.reading.scan_file import ScanFile, ScanLimits, open_scan_file
from worker.scans.reading.strictness import decoded
from worker.scans.vips import WIDE
from worker.system.whole_files import write_beside_then_rename

Marks = NDArray[np.uint8]

STREAM_BLOCK_BYTES = 4 << 20  # of a streamed scan, decoded in one step
_BORDER_SIDE = 1024  # pixels; a streamed scan's borders are looked for in a copy of this size


class OpenScan:
    """An open scan, or one of its pages: its header, and its pixels, upright, as sRGB grey of the same lightness."""

    def __init__(self, file: ScanFile, header: ScanHeader) -> None:
        self.file, self.header = file, header
        self.key, self.format = file.key, file.format
        self.width, self.height = header.width, header.height
        self.bit_depth = header.bit_depth
        self.clips_floats = False  # whether samples slightly outside 0..1 are clipped
        self.marks: Marks | None = None  # (height, width, 3), or smaller: the scan's own colours
        self.lost: list[str] = []  # what is lost of its pixels, in words
        self._range_checked = False
        check_checksums(file, header.page)
        self._held = self._decode() if header.is_held else None  # (height, width, 1 or 2)

    def model_input(self, size: int = MODEL_INPUT_SIZE, picture: Box | None = None) -> ModelInput:
        """The scan, or the picture in it, as the model sees it.

        Raises ScanError if the pixels, which are read only now, turn out to be damaged.
        """
        part = picture or Box(0, 0, self.width, self.height)
        box = box_in_square(part.width, part.height, size)
        return make_model_input(self._reduced(part, box), box, size, picture)

    def keep_marks(self, colours: OwnColours) -> None:
        """Keep the scan's own strong colours in its output. Raises ScanError as `find_own_colours` does."""
        self.marks = marks_of(self.file, self.header.page, colours, marks_shrink(self.header))

    def model_inputs(self, size: int = MODEL_INPUT_SIZE, picture: Box | None = None) -> ModelInputs:
        """The model inputs of the scan, or of the picture in it: several squares if it is long.

        Raises ScanError if the pixels, which are read only now, turn out to be damaged.
        """
        part = picture or Box(0, 0, self.width, self.height)
        if not is_long(part.width, part.height):
            return ModelInputs((self.model_input(size, picture),))
        length = length_of(part.width, part.height, size)
        is_upright = part.height > part.width
        box = Box(0, 0, size, length) if is_upright else Box(0, 0, length, size)
        return inputs_along(self._reduced(part, box), size, picture)

    def find_picture(self) -> Box | None:
        """The picture's box inside film borders; None if no borders are certain.

        Raises ScanError if the pixels, which are read only now, turn out to be damaged.
        """
        if self._held is not None:
            return find_picture(self._held[..., 0])
        box = box_in_square(self.width, self.height, _BORDER_SIDE)
        picture = find_picture(self._reduced(Box(0, 0, self.width, self.height), box))
        return scaled(picture, self.width / box.width, self.height / box.height) if picture else None

    def _reduced(self, part: Box, box: Box) -> Pixels:
        """Grey of a part of the scan at the size of the box."""
        if self._held is not None:
            held = self._held[part.top : part.top + part.height, part.left : part.left + part.width, 0]
            return fit(held, box)
        with reading(self.file):
            return decoded(self.file, lambda: self._shrunk(part, box))

    def _shrunk(self, part: Box, box: Box) -> Pixels:
        grey = self._image()[0].crop(part.left, part.top, part.width, part.height)
        small = grey.thumbnail_image(box.width, height=box.height, size="force", no_rotate=True)
        return _array(small.write_to_memory(), small)[..., 0]

    def strips(self, rows: int) -> Iterator[Pixels]:
        """The pixels from top to bottom as uint8 or uint16 (at most `rows`, width, 1 or 2): grey, then alpha.

        Raises ScanError if the pixels, which are read only now, turn out to be damaged.
        """
        blocks = self._blocks(rows) if self._held is None else iter([self._held])
        for block in blocks:
            for top in range(0, len(block), rows):
                yield block[top : top + rows]

    def discard(self) -> None:
        """Remove the temporary files that were written while this page of the scan was read."""
        for path in self.file.path.parent.glob(f"{self.file.path.name}.{self.header.page}.*"):
            path.unlink()

    def header_image(self) -> pyvips.Image:
        """The scan's header as an upright image, for its resolution. Its pixels must not be read."""
        with reading(self.file):
            image = load_header(self.file, self.header.page)
            # libvips rotates the pixels, but does not exchange the two resolutions.
            turned = image.copy(xres=image.yres, yres=image.xres) if self.header.is_on_its_side else image
            return turned.autorot()

    def _blocks(self, rows: int) -> Iterator[Pixels]:
        """Blocks of whole strips. Each block is decoded when it is needed."""
        row_bytes = self.width * (1 + self.header.has_alpha) * self.bit_depth // 8
        block_rows = rows * max(1, STREAM_BLOCK_BYTES // (rows * row_bytes))
        with reading(self.file):
            image = self._image()
            region = pyvips.Region.new(image)
            for top in range(0, self.height, block_rows):
                height = min(block_rows, self.height - top)
                yield _array(region.fetch(0, top, self.width, height), image)

    def _decode(self) -> Pixels:
        def whole() -> Pixels:
            image = self._image()
            return _array(image.write_to_memory(), image)

        with reading(self.file):
            return decoded(self.file, whole)

    def _image(self) -> pyvips.Image:
        image = self._load()
        if image.format in WIDE and not self._range_checked:
            self.clips_floats = check_range(image, self.key)
            self._range_checked, image = True, self._load()
        grey = to_grey(image, self.key)
        # Rotating needs the rows in any order, but a file gives them from top to bottom.
        return self._any_row_of(grey).autorot() if orientation_field(image) > 1 else grey

    def _load(self) -> pyvips.Image:
        return load(self.file, self.header.page)

    def _any_row_of(self, grey: pyvips.Image) -> pyvips.Image:
        """The same image in memory or, if it is too large for that, in the scratch folder."""
        if self.header.is_held:
            return grey.copy_memory()
        path = self.file.beside(f"{self.header.page}.grey.v")
        if not path.exists():
            with write_beside_then_rename(path) as part:
                grey.vipssave(str(part))
        return pyvips.Image.vipsload(str(path))


def marks_shrink(header: ScanHeader) -> int:
    """How many pixels in each direction share one of a scan's own colours, so that all of them take at most HELD_BYTES.

    The lightness shows the outline of a mark. It always has the scan's full size.
    """
    return max(1, math.ceil(math.sqrt(3 * header.width * header.height / HELD_BYTES)))


def marks_bytes(header: ScanHeader) -> int:
    """The memory that a scan's own colours take while they are kept."""
    return 3 * header.width * header.height // marks_shrink(header) ** 2


def open_scan(path: Path, key: str, limits: ScanLimits) -> OpenScan:
    """Open the scan, or its first page, at `path`. The file must stay there until the output is written.

    Messages contain `key`, but not the path. Raises ScanError as `open_scan_file` and `probe_pages` do, and if the
    pixels turn out to be cut short (truncated) or damaged (unreadable).
    """
    file = open_scan_file(path, key, limits)
    return OpenScan(file, probe_pages(file, limits)[0])


def _array(buffer: bytes, image: pyvips.Image) -> Pixels:
    """The buffer as uint8 or uint16 (height, width, bands), without copying."""
    shape = (-1, image.width, image.bands)
    if image.format == "uchar":
        return np.frombuffer(buffer, np.uint8).reshape(shape)
    return np.frombuffer(buffer, np.uint16).reshape(shape)
