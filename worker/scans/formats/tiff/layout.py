"""Reads the layout of a TIFF's pages: the kind of their pixels and where they lie. Nothing is decoded.

TIFF 6.0, section 2, and TIFF Technical Note 2 for JPEG; BigTIFF: libtiff's design note. After the first complete
picture, an invalid link to the next directory ends the reading and is named in `lost`, because such links are common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from worker.scans.formats.errors import EndsEarly, FormatError, UnsupportedKind
from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader
from worker.scans.formats.tiff.pieces import Pieces, Place, pieces_of
from worker.scans.formats.tiff.stacks import picture_count
from worker.scans.formats.tiff.tags import Tag

MINISWHITE, MINISBLACK, RGB, MASK, CMYK, YCBCR, LABS, LOGLUVS = 0, 1, 2, 4, 5, 6, (8, 9), (32844, 32845)  # Photometric
NOT_STATED = -1  # no PhotometricInterpretation: whether 0 is black or white is not known
OLD_JPEG, JPEG, DEFLATES = 6, 7, (8, 32946)  # Compression
FLOATS = 3  # SampleFormat
ASSOCIATED_ALPHA, _ALPHA, _CORELS_ALPHA = 1, 2, 999  # ExtraSamples: colours are multiplied by the first; 0: others
OTHER_INKS = 2  # InkSet

_REDUCED, _ONE_OF_SEVERAL = 1, 2  # bits of NewSubfileType
_OLD_REDUCED, _OLD_ONE_OF_SEVERAL = 2, 3  # values of SubfileType
_FIRST_TAGS = (Tag.NEW_SUBFILE_TYPE, Tag.SUBFILE_TYPE, Tag.IMAGE_WIDTH)  # a picture's tags begin with one of these
_MAX_PAGES = 100_000  # a file with more is a loop, or hostile
_MAX_TAGS = 4096


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One page's directory. Numbers are the values of TIFF's tags, or their defaults if a tag is missing or impossible.

    `piece_bytes` is the size of an unpacked strip or tile.
    """

    offset: int  # the byte where its directory begins
    place: Place
    is_reduced: bool  # a smaller copy of another page
    is_one_of_several: bool
    has_pages_below: bool
    compression: int
    photometric: int
    sample_format: int
    inks: int
    extra_samples: tuple[int, ...]
    pixels_end: int  # the byte after its pixels
    damage: str | None  # why its pixels can't be right, in words
    lacks_next_link: bool = False

    @property
    def bits(self) -> int:
        return self.place.bits

    @property
    def samples(self) -> int:
        return self.place.samples

    @property
    def is_tiled(self) -> bool:
        return self.place.is_tiled

    @property
    def is_planar(self) -> bool:
        """Whether each channel has its own strips or tiles."""
        return self.place.is_planar

    @property
    def piece_bytes(self) -> int:
        return self.place.piece_bytes


@dataclass(slots=True)
class TiffLayout:
    """All pages, in the order of the file. `lost` names what could not be read after them."""

    pages: list[TiffPage] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def alpha_among(extra_samples: Sequence[int]) -> int | None:
    """The number of the extra channel that is alpha; None if none is, for example if it is infrared."""
    return next((n for n, sample in enumerate(extra_samples) if sample in (ASSOCIATED_ALPHA, _ALPHA)), None)


def read_layout(file: BinaryIO) -> TiffLayout:
    """All pages of a TIFF. Raises FormatError, and EndsEarly if a picture is cut short."""
    reader, layout, places = IfdReader(file), TiffLayout(), set[int]()
    offset = reader.first
    while offset and offset not in places and len(places) < _MAX_PAGES:
        places.add(offset)
        if layout.pages and not _is_picture(reader, offset, layout):
            break
        page = read_page(reader, offset)
        layout.pages.append(page)
        offset = 0 if page.lacks_next_link else reader.after(offset)
    if len(layout.pages) == 1:
        _add_stacked(reader, layout)
    return layout


def _add_stacked(reader: IfdReader, layout: TiffLayout) -> None:
    """Add the further pictures of a stack that has one directory. Raises UnsupportedKind, or EndsEarly."""
    page = layout.pages[0]
    entries = reader.entries(page.offset)
    count = picture_count(reader, entries, page.place)
    if count == 1:
        return
    pieces = pieces_of(reader, entries, page.place)
    if not (page.place.is_sized and pieces.is_contiguous and page.damage is None):
        raise UnsupportedKind(f"a stack of {count:,} pictures in one directory, compressed or in pieces")
    length = int(pieces.lengths.sum())
    if page.pixels_end + length > reader.size:  # a picture was taken from a stack, with the stack's description
        layout.lost.append(f"{count - 1:,} further pictures, of which its description speaks (the file holds one)")
        return
    for number in range(1, count):
        place, end = replace(page.place, shift=number * length), page.pixels_end + number * length
        layout.pages.append(replace(page, place=place, pixels_end=end))


def _is_picture(reader: IfdReader, offset: int, layout: TiffLayout) -> bool:
    """Whether a later directory is that of a picture. If not, what is missing is noted in `layout.lost`.

    Raises EndsEarly if the file was cut short, but not if it only ends in rubbish.
    """
    is_one_of_several = len(layout.pages) > 1 or layout.pages[0].is_one_of_several
    try:
        entries = reader.entries(offset)
        is_picture = {Tag.IMAGE_WIDTH, Tag.IMAGE_LENGTH} <= entries.keys() and _places_of(entries) is not None
    except EndsEarly:
        if is_one_of_several or _begins_as_picture(reader, offset):
            raise
        is_picture = False
    except FormatError:
        is_picture = False
    if not is_picture:
        layout.lost.append(f"what was to follow the last picture (there is no directory at byte {offset:,})")
    return is_picture


def _begins_as_picture(reader: IfdReader, offset: int) -> bool:
    """Whether a directory that is cut off by the file's end begins like that of a picture."""
    try:
        start, count, _ = reader.shape(offset)
        reader.file.seek(start)
        tag = int.from_bytes(reader.file.read(2), "little" if reader.order == "<" else "big")
    except FormatError:
        return False
    return count <= _MAX_TAGS and tag in _FIRST_TAGS


def _places_of(entries: Mapping[int, Entry]) -> tuple[Tag, Tag] | None:
    """The tags with the places and lengths of its tiles or strips; None if there are no such tags."""
    if Tag.TILE_OFFSETS in entries and Tag.TILE_WIDTH in entries:
        return Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS
    return (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS) if Tag.STRIP_OFFSETS in entries else None


def read_page(reader: IfdReader, offset: int) -> TiffPage:
    """The page whose directory begins at the byte `offset`. Raises FormatError."""
    entries = reader.entries(offset)
    place = Place.of(reader, entries)
    pieces = pieces_of(reader, entries, place)
    subfile_type = _sound_number(reader, entries, Tag.NEW_SUBFILE_TYPE)
    old_type = _sound_number(reader, entries, Tag.SUBFILE_TYPE)
    return TiffPage(
        offset=offset,
        place=place,
        is_reduced=bool(subfile_type & _REDUCED) or old_type == _OLD_REDUCED,
        is_one_of_several=bool(subfile_type & _ONE_OF_SEVERAL) or old_type == _OLD_ONE_OF_SEVERAL,
        has_pages_below=Tag.SUB_IFDS in entries,
        compression=place.compression,
        photometric=reader.number(entries, Tag.PHOTOMETRIC, NOT_STATED),
        sample_format=reader.number(entries, Tag.SAMPLE_FORMAT, 1),
        inks=reader.number(entries, Tag.INK_SET, 1),
        extra_samples=_extra_samples(reader, entries.get(Tag.EXTRA_SAMPLES), place.samples),
        pixels_end=pieces.end,
        damage=pieces.damage,
        lacks_next_link=reader.next_link(offset) + reader.word_bytes > reader.size,
    )


def read_pieces(file: BinaryIO, page: TiffPage) -> Pieces:
    """Where a page's strips or tiles lie. Raises FormatError."""
    reader = IfdReader(file)
    return pieces_of(reader, reader.entries(page.offset), page.place).of_picture(page.place)


def _sound_number(reader: IfdReader, entries: Mapping[int, Entry], tag: int) -> int:
    """The number in a tag that is not essential; 0 if it can't be read."""
    try:
        return reader.number(entries, tag, 0)
    except EndsEarly:
        return 0


def _extra_samples(reader: IfdReader, entry: Entry | None, samples: int) -> tuple[int, ...]:
    """The kinds of the channels that are not colours; empty if these would be all channels, because one is a colour."""
    if entry is None or not 0 < entry.count < samples or not entry.length:
        return ()
    return tuple(map(_extra_sample, reader.numbers(entry).tolist()))


def _extra_sample(number: float) -> int:
    if number == _CORELS_ALPHA:
        return _ALPHA
    return int(number) if number in (ASSOCIATED_ALPHA, _ALPHA) else 0
