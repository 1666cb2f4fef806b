"""One scan goes through the pipeline from one folder to another, and its row gets the measured values."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from skimage import data

from db.queries.scans.records import ScanMeasurements
from tests.unit.scans.reading.test_film_borders import FILM, PICTURE, film
from worker.errors import ScanError
from worker.inference.client import Prediction
from worker.inference.colour_options import ColourOptions
from worker.inference.models.stub_model import stub_ab
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Assignment, Pipeline
from worker.scans import OutputOptions, ScanLimits, configure_libraries
from worker.storage.folder.storage import FolderStorage

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def predict(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
    return Prediction(stub_ab(lightness), None, "0123456789ab", wait_ms=1.0, predict_ms=2.0)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    configure_libraries()
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    source, destination = FolderStorage(tmp_path / "in"), FolderStorage(tmp_path / "out")
    return Pipeline(source, destination, predict, ScanLimits(1 << 30, 10**9), ByteBudget(1 << 30), tmp_path)


def assignment(key: str, output_key: str, format: str) -> Assignment:
    return Assignment(
        key, None, output_key, OutputOptions(format), digital_source_type="compositeSynthetic", made_at=NOON
    )


def colorize(pipeline: Pipeline, scan: Assignment) -> ScanMeasurements:
    measurements = ScanMeasurements()
    pipeline.colorize_scan(scan, measurements)
    return measurements


def test_the_output_says_how_it_was_made(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.fromarray(data.camera()).save(tmp_path / "in" / "a.png")
    measurements = colorize(pipeline, assignment("a.png", "a.png.jpg", "jpeg"))

    assert measurements.source_sha256 is not None
    with Image.open(tmp_path / "out" / "a.png.jpg") as image:
        xmp = image.info["xmp"].decode()
    for said in (
        "compositeSynthetic",
        "0123456789ab",
        'SourceKey="a.png"',
        measurements.source_sha256,
        "2026-07-01T12:00",
    ):
        assert said in xmp


def test_a_second_try_gives_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.fromarray(data.camera()).save(tmp_path / "in" / "a.png")
    scan = assignment("a.png", "a.png", "png")

    assert colorize(pipeline, scan).output_sha256 == colorize(pipeline, scan).output_sha256


def test_lost_metadata_is_named_in_the_row(pipeline: Pipeline, tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Shelfmark", "VII b 12")
    Image.fromarray(data.camera()).save(tmp_path / "in" / "a.png", pnginfo=texts)

    assert colorize(pipeline, assignment("a.png", "a.tif", "tiff")).lost_metadata == "text Shelfmark"
    assert colorize(pipeline, assignment("a.png", "a.png", "png")).lost_metadata is None


def test_faint_colour_that_is_lost_is_named_in_the_row(pipeline: Pipeline, tmp_path: Path) -> None:
    picture = np.dstack([data.camera()] * 3).clip(20, 235)
    picture[200:260, 100:160] = (150, 160, 180)
    Image.fromarray(picture).save(tmp_path / "in" / "a.png")

    lost = colorize(pipeline, assignment("a.png", "a.png", "png")).lost_metadata
    assert lost is not None
    assert lost.startswith("faint colour")


def test_the_pictures_box_is_in_the_row_unless_borders_are_not_looked_for(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.fromarray(film()).save(tmp_path / "in" / "a.png")
    scan = assignment("a.png", "a.png", "png")

    found = colorize(pipeline, scan)
    assert found.picture_left == pytest.approx(PICTURE.left, abs=4)
    assert found.picture_top == pytest.approx(PICTURE.top, abs=4)
    assert found.picture_width == pytest.approx(PICTURE.width, abs=8)
    assert found.picture_height == pytest.approx(PICTURE.height, abs=8)
    assert (found.width, found.height) == FILM[::-1]

    assert colorize(replace(pipeline, find_borders=False), scan).picture_left is None


def test_a_scan_in_colour_has_no_output(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "in" / "a.png")
    scan = assignment("a.png", "a.png", "png")

    with pytest.raises(ScanError, match="in colour already") as refused:
        colorize(pipeline, scan)
    assert refused.value.code == "already_colour"
    assert list((tmp_path / "out").iterdir()) == []
    assert colorize(pipeline, replace(scan, skip_colour=False)).output_sha256


def beside_another() -> Callable[[NDArray[np.float32], ColourOptions], Prediction]:
    """A function for predictions whose first call waits until a second call comes."""
    first, another = threading.Lock(), threading.Event()

    def predict_beside_another(lightness: NDArray[np.float32], options: ColourOptions) -> Prediction:
        if first.acquire(blocking=False):
            assert another.wait(10)
        else:
            another.set()
        return predict(lightness, options)

    return predict_beside_another


def test_the_squares_of_a_panorama_are_predicted_at_once(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (40, 2))).save(tmp_path / "in/strip.png")

    measurements = colorize(replace(pipeline, predict=beside_another()), assignment("strip.png", "strip.png", "png"))

    assert measurements.output_sha256 is not None


def test_the_pages_of_a_scan_are_predicted_at_once(pipeline: Pipeline, tmp_path: Path) -> None:
    page = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (150, 1)))
    page.save(tmp_path / "in/book.tif", save_all=True, append_images=[page] * 2)

    measurements = colorize(replace(pipeline, predict=beside_another()), assignment("book.tif", "book.tif", "tiff"))

    assert measurements.pages == 3
