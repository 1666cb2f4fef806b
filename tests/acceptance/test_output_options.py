"""What a person may ask of outputs, from the command line into the files, and the files held against their rows."""

import shlex
from pathlib import Path

import bagit
import numpy as np
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
    assert "1 source and 1 output" in verified.stdout

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


def test_a_bag_is_valid_and_grows_with_the_next_run(collection: Path, tmp_path: Path) -> None:
    def run() -> str:
        ran = photochrom("run", collection, "colour", "--bag", folder=tmp_path, **STAND_IN)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout.splitlines()[-1]

    assert "is a bag of 1 file, " in run()
    assert bagit.Bag(str(tmp_path / "colour")).validate()
    Image.fromarray(data.coins()).save(collection / "new.png")
    assert "is a bag of 2 files" in run()
    bag = bagit.Bag(str(tmp_path / "colour"))
    assert bag.validate()
    assert sorted(bag.payload_files()) == ["data/grey.png", "data/new.png"]
    assert "is a bag of 2 files" in run()


def test_a_key_that_bags_can_not_name_alike_is_refused(collection: Path, tmp_path: Path) -> None:
    (collection / "grey.png").rename(collection / "100%.png")
    refused = photochrom("run", collection, "colour", "--bag", folder=tmp_path, **STAND_IN)
    assert refused.returncode == 2
    assert "the key '100%.png' holds a %" in refused.stderr


def test_a_label_is_stamped_and_a_text_without_letters_refused(collection: Path, tmp_path: Path) -> None:
    refused = photochrom("run", collection, "colour", "--label", "\u4e00", folder=tmp_path, **STAND_IN)
    assert (refused.returncode, "there is no shape for" in refused.stderr) == (2, True)
    for name, label in (("plain", ()), ("labelled", ("--label", "Colourized"))):
        assert photochrom("run", collection, name, *label, folder=tmp_path, **STAND_IN).returncode == 0
    plain, labelled = (np.asarray(Image.open(tmp_path / name / "grey.png")) for name in ("plain", "labelled"))
    differs = np.argwhere((plain != labelled).any(axis=2))
    assert differs.min() > 380  # of 512
    assert len(differs) < 0.01 * plain[..., 0].size
