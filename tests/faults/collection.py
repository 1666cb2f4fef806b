"""The scans of a fault test, and the expected output of each."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from db.queries.scans.records import ScanMeasurements
from worker.inference.client import Prediction
from worker.inference.colour_options import ColourOptions
from worker.inference.models.stub_model import StubColorizer, stub_ab
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Assignment, Pipeline
from worker.scans import OutputOptions, ScanLimits, configure_libraries
from worker.settings.settings import Settings
from worker.storage.folder.storage import FolderStorage

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONTENTS = 8  # distinct scans; the others are copies of them under other keys
DIGITAL_SOURCE_TYPE: str = Settings.model_fields["digital_source_type"].default
KILLS_CHILD = "poison/kills-child.png"
KILLS_MODEL_SERVER = "poison/kills-model-server.png"


@dataclass(frozen=True)
class Collection:
    """The scans in the source, by key."""

    scans: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def make(cls, scan_count: int, *, poisoned: bool = False) -> "Collection":
        contents = list(_contents())
        made = cls({f"box {number % 7}/{number:05}.png": contents[number % CONTENTS] for number in range(scan_count)})
        if poisoned:
            made.scans[KILLS_CHILD] = contents[0]
            made.scans[KILLS_MODEL_SERVER] = _png(np.full((90, 120), 171, np.uint8))
        return made

    def put(self, client: "S3Client", bucket: str, prefix: str) -> None:
        for key, content in self.scans.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=content)

    def outputs(self, keys: Iterable[str], made_at: datetime) -> Iterator[tuple[str, bytes]]:
        """The bytes of the expected outputs by key, made by the same pipeline in this process, without any fault.

        made_at: the job's time, which is stored in each output.
        """
        configure_libraries()
        with tempfile.TemporaryDirectory(prefix="photochrom-faults-") as name:
            source, destination = Path(name, "in"), Path(name, "out")
            source.mkdir()
            destination.mkdir()
            pipeline = _undisturbed(source, destination, Path(name))
            for key in keys:
                # The scan needs its own key, because its output names the key.
                (source / key).parent.mkdir(parents=True, exist_ok=True)
                (source / key).write_bytes(self.scans[key])
                scan = Assignment(key, None, key, OutputOptions("png"), DIGITAL_SOURCE_TYPE, made_at)
                pipeline.colorize_scan(scan, ScanMeasurements())
                yield key, (destination / key).read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _contents() -> Iterator[bytes]:
    noise = np.random.default_rng(6)
    for _ in range(CONTENTS):
        small = noise.integers(0, 256, (5, 6), dtype=np.uint8)
        yield _png(cv2.resize(small, (121, 90), interpolation=cv2.INTER_CUBIC))


def _png(pixels: "np.typing.NDArray[np.uint8]") -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _undisturbed(source: Path, destination: Path, scratch: Path) -> Pipeline:
    return Pipeline(
        source=FolderStorage(source),
        destination=FolderStorage(destination),
        predict=_predict,
        limits=ScanLimits(max_bytes=1 << 20, max_pixels=1 << 20),
        budget=ByteBudget(1 << 30),
        scratch_folder=scratch,
    )


def _predict(lightness: "np.typing.NDArray[np.float32]", _: ColourOptions) -> Prediction:
    stub = StubColorizer
    return Prediction(
        *(stub_ab(lightness), None, stub.checkpoint_id, 0.0, 0.0),
        head=stub.head,
        embedding=stub.embedding,
        precision=stub.precision,
        input_px=stub.input_px,
    )
