"""The places of a TIFF page's strips or tiles, and the bytes that are needed from them, even if their counts
are wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from worker.scans.formats.errors import EndsEarly, FormatError
from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader, Numbers
from worker.scans.formats.tiff.tags import Tag

_UNCOMPRESSED = 1
_YCBCR = 6
_SEPARATE = 2
_HEAD_BYTES = 8
_MAX_SIDE = 1 << 31


@dataclass(frozen=True, slots=True)
class Place:
    """How a page is divided into strips or tiles. `shift`: the pixels lie this many bytes behind the places in the
    tags.
    """

    width: int
    height: int
    bits: int
    samples: int
    compression: int
    is_tiled: bool
    is_planar: bool
    piece_width: int
    piece_height: int
    is_sized: bool  # whether the length of a piece follows from its size in pixels
    shift: int = 0

    @classmethod
    def of(cls, reader: IfdReader, entries: Mapping[int, Entry]) -> Self:
        """The division that a directory describes. Raises FormatError for impossible sides."""

        def number(tag: Tag, default: int) -> int:
            return reader.number(entries, tag, default)

        width, height = number(Tag.IMAGE_WIDTH, 0), number(Tag.IMAGE_LENGTH, 0)
        is_tiled = Tag.TILE_OFFSETS in entries and Tag.TILE_WIDTH in entries
        samples = number(Tag.SAMPLES_PER_PIXEL, 1) or 1
        piece_width = number(Tag.TILE_WIDTH, width) if is_tiled else width
        rows = number(Tag.ROWS_PER_STRIP, height) or height
        piece_height = number(Tag.TILE_LENGTH, height) if is_tiled else min(rows, height)
        if not (0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE and piece_width and piece_height):
            raise FormatError(f"it says that it has {width:,} x {height:,} pixels")
        return cls(
            width=width,
            height=height,
            bits=number(Tag.BITS_PER_SAMPLE, 1),
            samples=samples,
            compression=number(Tag.COMPRESSION, _UNCOMPRESSED),
            is_tiled=is_tiled,
            is_planar=number(Tag.PLANAR_CONFIG, 1) == _SEPARATE and samples > 1,
            piece_width=piece_width,
            piece_height=piece_height,
            is_sized=number(Tag.COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and number(Tag.PHOTOMETRIC, 0) != _YCBCR,
        )

    @property
    def row_bytes(self) -> int:
        """Of a piece."""
        return -(-self.piece_width * self.bits * (1 if self.is_planar else self.samples) // 8)

    @property
    def piece_bytes(self) -> int:
        """The size of an unpacked strip or tile, in bytes."""
        return self.row_bytes * self.piece_height

    @property
    def across(self) -> int:
        """Pieces beside each other."""
        return -(-self.width // self.piece_width)

    @property
    def down(self) -> int:
        """The number of strips or tiles from top to bottom; of one channel, if the channels are separate."""
        return -(-self.height // self.piece_height)

    @property
    def pieces(self) -> int:
        """The number of strips or tiles that the page needs."""
        return self.across * self.down * (self.samples if self.is_planar else 1)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The first bytes and the lengths of a page's strips or tiles."""

    starts: Numbers
    lengths: Numbers
    damage: str | None = None  # what is wrong, in words

    @property
    def end(self) -> int:
        """The first byte after the last strip or tile."""
        return int((self.starts + self.lengths)[self.lengths > 0].max(initial=0))

    @property
    def is_contiguous(self) -> bool:
        """Whether each strip or tile begins where the one before it ends."""
        return bool((self.starts[1:] == self.starts[:-1] + self.lengths[:-1]).all())

    def of_picture(self, place: Place) -> "Pieces":
        """The strips or tiles of one picture, if a directory stands for several pictures."""
        return Pieces(self.starts + place.shift, self.lengths, self.damage)


def pieces_of(reader: IfdReader, entries: Mapping[int, Entry], place: Place) -> Pieces:
    """The places and lengths of the strips or tiles that are needed. Raises FormatError.

    Lengths that are missing, zero or too large are common and do not mean that the file is damaged.
    """
    tags = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS), (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS)
    offsets_tag, counts_tag = tags[place.is_tiled]
    if offsets_tag not in entries:
        return Pieces(np.zeros(0), np.zeros(0), "it says nothing of where its pixels are")
    starts = reader.numbers(entries[offsets_tag])
    counts = _counts(reader, entries.get(counts_tag), len(starts), place)
    if place.is_sized:
        needed = _needed(place, len(starts))
        counts = np.where((counts == 0) | (counts > needed), needed, counts)
    elif not counts.any():
        counts = _up_to_next(starts, reader.size)
    return Pieces(starts, counts, _damage(starts, counts, place))


def _counts(reader: IfdReader, entry: Entry | None, pieces: int, place: Place) -> Numbers:
    """The lengths of the pieces in the file; 0 for missing ones."""
    try:
        counts = reader.numbers(entry)[:pieces] if entry else np.zeros(0)
    except EndsEarly:
        if not place.is_sized:
            raise
        counts = np.zeros(0)
    return np.concatenate([counts, np.zeros(pieces - len(counts))])


def _needed(place: Place, pieces: int) -> Numbers:
    """The length of each piece of an uncompressed page. The last strip of each channel may have fewer rows."""
    needed = np.full(pieces, float(place.piece_bytes))
    if not place.is_tiled:
        rows = place.height - (place.down - 1) * place.piece_height
        needed[place.down - 1 :: place.down] = place.row_bytes * rows
    return needed


def _up_to_next(starts: Numbers, size: int) -> Numbers:
    """The largest possible length of each piece, if the file gives none: up to the next piece, or the file's end."""
    ends = np.unique(np.append(starts, size))
    places = np.searchsorted(ends, starts, side="right").clip(max=len(ends) - 1)
    lengths: Numbers = np.maximum(ends[places] - starts, 1)
    return lengths


def _damage(starts: Numbers, lengths: Numbers, place: Place) -> str | None:
    if place.is_tiled and place.pieces > len(starts):
        return "it has fewer tiles than its size needs"
    if ((starts < _HEAD_BYTES) & (lengths > 0)).any():
        return "it says that pixels lie where it begins"
    return None
