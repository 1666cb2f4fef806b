"""What a person may ask of outputs, from the command line into the files, and the files held against their rows."""

import shlex
from pathlib import Path

import pytest
import tifffile
from PIL import Image
from skimage import data

from tests.acceptance.command import photochrom

STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1"}


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    Image.fromarray(data.camera()).save(folder / "grey.png", dpi=(300, 300))
    return folder


def test_a_compressed_pyramid_with_its_provenance_that_verifies(collection: Path, tmp_path: Path) -> None:
    output = tmp_path / "colour"
    asked = ("--format", "tiff", "--compression", "lzw", "--pyramid")

    run = photochrom("run", collection, output, *asked, folder=tmp_path, **STAND_IN)
    assert (run.returncode, run.stderr) == (0, "")
    with tifffile.TiffFile(output / "grey.png.tif") as tiff:
        tags = tiff.pages.first.tags
        assert len(tiff.pages) > 1
        assert tags["Compression"].value == 5
        assert b"compositeWithTrainedAlgorithmicMedia" in bytes(tags["XMP"].value)

    database = {"PHOTOCHROM_DATABASE_URL": f"sqlite:///{output / '.photochrom' / 'photochrom.db'}"}
    verified = photochrom("verify", "1", folder=tmp_path, **database)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "1 sources and 1 outputs" in verified.stdout

    (output / "grey.png.tif").unlink()
    missing = photochrom("verify", "1", folder=tmp_path, **database)
    assert (missing.returncode, missing.stderr) == (1, "")
    _, said = missing.stdout.splitlines()[-1].split("Make the missing outputs again: photochrom ")
    assert "--compression lzw --pyramid --missing-only" in said
    again = photochrom(*shlex.split(said), folder=tmp_path, **database)
    assert again.stdout == "job 2 has 1 scan, 0.1 MB\n", again.stderr


def test_an_unknown_compression_is_refused(collection: Path, tmp_path: Path) -> None:
    refused = photochrom("run", collection, tmp_path / "colour", "--compression", "zip", folder=tmp_path)

    assert refused.returncode == 2
    assert "expected one of deflate, lzw, none" in refused.stderr
    assert not (tmp_path / "colour").exists()
