"""The scans of a fault test, and what must come out of each."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from db.queries.scans import Measured
from worker.budget import ByteBudget
from worker.inference.client import Prediction
from worker.inference.stand_in import stand_in_ab
from worker.pipeline import Assignment, Pipeline
from worker.scans import OutputOptions, ScanLimits, configure_libraries
from worker.storage.folder import FolderStorage

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONTENTS = 8  # distinct scans; the others are copies of them, so that few need to be coloured for comparison
KILLS_CHILD = "poison/kills-child.png"
KILLS_MODEL_SERVER = "poison/kills-model-server.png"


@dataclass(frozen=True)
class Collection:
    """What lies in the source, by key, and the outputs, by key and by SHA-256 (their own, as they must become)."""

    scans: dict[str, bytes] = field(default_factory=dict)
    outputs: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def make(cls, scan_count: int, folder: Path, *, poisoned: bool = False) -> "Collection":
        contents = list(_contents())
        outputs = _coloured(contents, folder)
        made = cls()
        for number in range(scan_count):
            key = f"box {number % 7}/{number:05}.png"
            made.scans[key], made.outputs[key] = contents[number % CONTENTS], outputs[number % CONTENTS]
        if poisoned:
            made.scans[KILLS_CHILD] = contents[0]
            made.scans[KILLS_MODEL_SERVER] = _png(np.full((90, 120), 171, np.uint8))
        return made

    def put(self, client: "S3Client", bucket: str, prefix: str) -> None:
        for key, content in self.scans.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=content)

    def write(self, folder: Path) -> None:
        for key, content in self.scans.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def pixels(output: bytes) -> bytes:
    """The colours of a PNG, (height, width, 3), without what else its file says."""
    return bytes(cv2.imdecode(np.frombuffer(output, np.uint8), cv2.IMREAD_COLOR))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _contents() -> Iterator[bytes]:
    noise = np.random.default_rng(6)
    for _ in range(CONTENTS):
        small = noise.integers(0, 256, (5, 6), dtype=np.uint8)
        yield _png(cv2.resize(small, (121, 90), interpolation=cv2.INTER_CUBIC))


def _png(pixels: "np.typing.NDArray[np.uint8]") -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _coloured(contents: list[bytes], folder: Path) -> list[bytes]:
    """What the stand-in makes of them, through the same pipeline, in this process and without any fault."""
    configure_libraries()
    source, destination = folder / "contents", folder / "coloured"
    source.mkdir()
    destination.mkdir()
    pipeline = Pipeline(
        source=FolderStorage(source),
        destination=FolderStorage(destination),
        predict=lambda lightness: Prediction(stand_in_ab(lightness), None, "stand-in", 0.0, 0.0),
        limits=ScanLimits(max_bytes=1 << 20, max_pixels=1 << 20),
        budget=ByteBudget(1 << 30),
        scratch_folder=folder,
    )
    for number, content in enumerate(contents):
        key = f"{number}.png"
        (source / key).write_bytes(content)
        output = OutputOptions("png", 95)
        scan = Assignment(key, None, key, output, "compositeWithTrainedAlgorithmicMedia", datetime.now(UTC))
        pipeline.colorize_scan(scan, Measured())
    return [(destination / f"{number}.png").read_bytes() for number in range(len(contents))]
