"""File formats by name: which keys are scans, the key of an output, and the format from a file's first bytes."""

from dataclasses import dataclass

from worker.errors import UsageError

FORMAT_NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "jp2": "JPEG 2000",
    "webp": "WebP",
}  # as people write them
FORMATS = ("source", "jpeg", "png", "tiff", "jp2")
COMPRESSIONS = ("deflate", "lzw", "none")  # of TIFF outputs, each without loss

# The extensions of outputs, the canonical one first. Only a scan that is a WebP gets a WebP as output.
_EXTENSIONS = {
    "jpeg": ("jpg", "jpeg", "jpe", "jfif", "jif", "jfi"),
    "png": ("png",),
    "tiff": ("tif", "tiff", "btf", "tf8"),
    "jp2": ("jp2", "jpx", "jpf"),
    "webp": ("webp",),
}
_CODESTREAMS = ("j2k", "j2c", "jpc")  # JPEG 2000 without a container; an output needs one for its metadata
_FORMAT_OF = {extension: name for name, extensions in _EXTENSIONS.items() for extension in extensions}
_FORMAT_OF.update(dict.fromkeys(_CODESTREAMS, "jp2"))
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),  # BigTIFF
    (b"MM\x00+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),  # a codestream
)
FIRST_BYTES = 12  # as many as are needed to tell formats apart
EXPECTED = "a JPEG, PNG, TIFF, JPEG 2000 or WebP file"


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How a colour image is written. `format` is jpeg, png, tiff, jp2 or webp; jp2 and webp are written without loss.

    `quality`, 1..100, is for JPEG only; `compression` and `pyramid` (tiles and smaller copies, for image servers) are
    for TIFF only.
    """

    format: str
    quality: int = 95
    compression: str = "deflate"
    pyramid: bool = False
    label: str | None = None  # a small visible mark
    # Whether it is one page of a TIFF with several. Then a pyramid's smaller copies are stored below the page, not as
    # further pages.
    is_page: bool = False

    def __post_init__(self) -> None:
        if self.format not in _EXTENSIONS:
            raise UsageError(f"output format {self.format!r}: expected one of {', '.join(_EXTENSIONS)}")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality {self.quality}: expected 1 to 100")
        if self.compression not in COMPRESSIONS:
            raise UsageError(f"--compression {self.compression}: expected one of {', '.join(COMPRESSIONS)}")


def scan_extensions() -> list[str]:
    """Every extension of scans."""
    return sorted(_FORMAT_OF)


def is_scan_key(key: str) -> bool:
    """Whether a key's extension names a format that can be read."""
    return _extension(key) in _FORMAT_OF


def output_format(key: str, format: str) -> str:
    """The format (jpeg, png, tiff, jp2, webp) of a scan's output; `source` means the format that the key's extension
    names.

    Raises UsageError for an unknown format, and for a key that is not a scan's.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format}: expected one of {', '.join(FORMATS)}")
    if not is_scan_key(key):
        raise UsageError(f"{key} has no scan's extension; expected one of {', '.join(scan_extensions())}")
    return _FORMAT_OF[_extension(key)] if format == "source" else format


def output_key(key: str, format: str) -> str:
    """The key of a scan's output: the scan's own key, if its extension is already one of the output's format.

    Otherwise the format's extension is added. It is also added to a key that ends in two scan extensions. So two scans
    never have the same output, whatever other scans there are.
    """
    name = output_format(key, format)
    stem, _, extension = key.rpartition(".")
    if extension.lower() in _EXTENSIONS[name] and not is_scan_key(stem):
        return key
    return f"{key}.{_EXTENSIONS[name][0]}"


def content_type(key: str) -> str:
    """The media type of an output, by its key's extension."""
    return f"image/{_FORMAT_OF[_extension(key)]}" if is_scan_key(key) else "application/octet-stream"


def format_of_content(first_bytes: bytes) -> str | None:
    """A file's format from its FIRST_BYTES, without regard to its name; None if it is not a scan's format."""
    if first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC if first_bytes.startswith(magic)), None)


def _extension(key: str) -> str:
    """The part of the key's name after the last dot; "" for `.jpg`, which is a hidden file without an extension."""
    stem, _, extension = key.rpartition("/")[2].rpartition(".")
    return extension.lower() if stem else ""
