"""The steps of a scan in a plain script: Pillow, OpenCV and boto3; no gamut, no metadata, no checks."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.storage import S3Options, open_storage, parse_location

Floats = NDArray[np.float32]

_SQUARE_PX = 400
_QUALITY = 95


class ShortWay:
    """Fetches scans and stores outputs, one after the other, over one connection."""

    def __init__(self, source: str, destination: str, endpoint_url: str | None) -> None:
        s3 = S3Options(endpoint_url=endpoint_url, attempts=1, timeout_seconds=60, connections=1)
        self._source, self._destination = (open_storage(parse_location(uri), s3=s3) for uri in (source, destination))
        self._path = Path(f"/tmp/photochrom-script-{os.getpid()}")  # noqa: S108

    def fetch(self, key: str) -> bytes:
        """The scan's bytes."""
        self._source.fetch(key, self._path, etag=None, max_bytes=1 << 40)
        return self._taken()

    def store(self, key: str, content: bytes) -> None:
        """Store an output under the scan's key."""
        self._path.write_bytes(content)
        self._destination.store(self._path, key, content_type="image/jpeg")
        self._path.unlink()

    def _taken(self) -> bytes:
        content = self._path.read_bytes()
        self._path.unlink()
        return content


def lab_of(content: bytes) -> Floats:
    """A grey JPEG to L*, a*, b*, float32 (height, width, 3): L* 0..100. Raises OSError for a damaged one."""
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"), np.float32) / 255
    lab: Floats = cv2.cvtColor(cv2.merge([grey] * 3), cv2.COLOR_RGB2LAB)
    return lab


def square_of(lab: Floats) -> Floats:
    """L* (height, width), 0..100 -> the model's square (400, 400), 0..100."""
    square: Floats = cv2.resize(lab[..., 0], (_SQUARE_PX, _SQUARE_PX), interpolation=cv2.INTER_AREA)
    return square


def coloured(lab: Floats, ab: Floats) -> bytes:
    """L*, a*, b* (height, width, 3) -> a colour JPEG with the model's a*, b* (400, 400, 2). `lab` is overwritten."""
    lab[..., 1:] = cv2.resize(ab, (lab.shape[1], lab.shape[0]), interpolation=cv2.INTER_LINEAR)
    rgb = (cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255).round().astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(rgb).save(written, "JPEG", quality=_QUALITY, subsampling=0)
    return written.getvalue()
