"""The options for outputs, from the command line to the files, and the files compared with their rows."""

import shlex
from pathlib import Path
from subprocess import CompletedProcess

import bagit
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data
from sqlalchemy import select

from db.models.jobs import Scan
from db.session import make_engine, read_scope
from tests.acceptance.command import photochrom, photochrom_here

STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1"}


def database(output: Path) -> str:
    return f"sqlite:///{output / '.photochrom' / 'photochrom.db'}"


def states(output: Path) -> dict[str, list[str | None]]:
    """The error code, or else the state, that each scan has in each job, in the order of the jobs."""
    found: dict[str, list[str | None]] = {}
    with read_scope(make_engine(database(output))) as session:
        for scan in session.scalars(select(Scan).order_by(Scan.id)):
            found.setdefault(scan.source_key, []).append(scan.error_code or scan.state)
    return found


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(path))


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    Image.fromarray(data.camera()).save(folder / "grey.png", dpi=(300, 300))
    return folder


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: `alone` has one grey scan, and `both` has it beside a colour photo."""
    folder = tmp_path_factory.mktemp("options")
    for name in ("alone", "both"):
        (folder / name).mkdir()
        Image.fromarray(data.camera()).save(folder / name / "grey.png", dpi=(300, 300))
    Image.fromarray(data.astronaut()).save(folder / "both" / "colour.jpg")
    return folder


@pytest.fixture(scope="module")
def labelled(masters: Path) -> Path:
    """The output folder of a run with the options for a compressed pyramid with a label."""
    asked = ("--format", "tiff", "--compression", "lzw", "--pyramid", "--label", "Colourized")
    run = photochrom("run", "alone", "labelled", *asked, folder=masters, **STAND_IN)
    assert (run.returncode, run.stderr) == (0, "")
    return masters / "labelled"


def run_bag(masters: Path, *more: str) -> CompletedProcess[str]:
    run = photochrom("run", "both", "bag", "--bag", *more, folder=masters, **STAND_IN)
    assert (run.returncode, run.stderr) == (0, "")
    return run


@pytest.fixture(scope="module")
def first_bag(masters: Path) -> str:
    """The standard output of the first run into a bag."""
    return run_bag(masters).stdout


def test_a_compressed_pyramid_with_its_provenance(labelled: Path) -> None:
    with tifffile.TiffFile(labelled / "grey.png.tif") as tiff:
        tags = tiff.pages.first.tags
        assert len(tiff.pages) > 1
        assert tags["Compression"].value == 5
        assert b"compositeWithTrainedAlgorithmicMedia" in bytes(tags["XMP"].value)


def test_a_label_is_stamped_into_a_corner(labelled: Path, masters: Path, first_bag: str) -> None:
    plain = pixels(masters / "bag" / "data" / "grey.png")
    differs = np.argwhere((plain != pixels(labelled / "grey.png.tif")).any(axis=2))
    assert differs.min() > 380  # of 512
    assert 0 < len(differs) < 0.01 * plain[..., 0].size


def test_outputs_verify_and_one_that_is_lost_is_made_again_as_it_was(labelled: Path, masters: Path) -> None:
    settings = {"PHOTOCHROM_DATABASE_URL": database(labelled)}
    verified = photochrom("verify", "1", folder=masters, **settings)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "1 source and 1 output" in verified.stdout

    before = pixels(labelled / "grey.png.tif")
    (labelled / "grey.png.tif").unlink()
    missing = photochrom("verify", "1", folder=masters, **settings)
    assert (missing.returncode, missing.stderr) == (1, "")
    _, said = missing.stdout.splitlines()[-1].split("Make the missing outputs again: photochrom ")
    again = photochrom(*shlex.split(said), folder=masters, **STAND_IN)
    assert "done: 1 scan," in again.stdout, again.stderr
    assert (pixels(labelled / "grey.png.tif") == before).all()


def test_a_bag_is_valid_and_grows_and_scans_in_colour_are_skipped_unless_asked_for(
    masters: Path, first_bag: str
) -> None:
    output = masters / "bag"
    assert "skipped: 1 scan, in colour already" in first_bag
    assert "is a bag of 1 file, " in first_bag.splitlines()[-1]
    assert states(output) == {"colour.jpg": ["already_colour"], "grey.png": ["done"]}
    assert bagit.Bag(str(output)).validate()

    again = run_bag(masters).stdout
    assert "Nothing to do" in again
    assert "is a bag of 1 file, " in again.splitlines()[-1]

    Image.fromarray(data.coins()).save(masters / "both" / "new.png")
    assert "is a bag of 3 files" in run_bag(masters, "--colour-scans", "colourize").stdout.splitlines()[-1]
    assert states(output)["colour.jpg"] == ["already_colour", "done"]
    bag = bagit.Bag(str(output))
    assert bag.validate()
    assert sorted(bag.payload_files()) == ["data/colour.jpg", "data/grey.png", "data/new.png"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--compression", "zip", "expected one of deflate, lzw, none"),
        ("--colour-scans", "maybe", "expected one of skip, colourize"),
        ("--label", "\u4e00", "the font lacks"),
    ],
)
def test_an_option_that_is_none_is_refused(
    option: str, value: str, said: str, collection: Path, tmp_path: Path
) -> None:
    refused = photochrom_here("run", collection, "colour", option, value, folder=tmp_path)

    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (tmp_path / "colour").exists()


def test_a_key_that_bags_can_not_name_alike_is_refused(collection: Path, tmp_path: Path) -> None:
    (collection / "grey.png").rename(collection / "100%.png")
    refused = photochrom("run", collection, "colour", "--bag", folder=tmp_path, **STAND_IN)
    assert refused.returncode == 2
    assert "the key '100%.png' holds a %" in refused.stderr
