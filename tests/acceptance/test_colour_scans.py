"""A collection in which some scans are in colour already."""

from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from sqlalchemy import select

from db.models import Scan
from db.session import make_engine, read_scope
from tests.acceptance.command import photochrom

STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1"}


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    colour = Image.fromarray(data.astronaut())
    colour.save(folder / "colour.jpg")
    colour.convert("L").save(folder / "grey.jpg")
    return folder


def states(output: Path) -> dict[str, list[str | None]]:
    """Each scan's states and codes, job by job."""
    found: dict[str, list[str | None]] = {}
    with read_scope(make_engine(f"sqlite:///{output / '.photochrom' / 'photochrom.db'}")) as session:
        for scan in session.scalars(select(Scan).order_by(Scan.id)):
            found.setdefault(scan.source_key, []).append(scan.error_code or scan.state)
    return found


def test_they_are_skipped_once_unless_it_is_asked_for(collection: Path, tmp_path: Path) -> None:
    output = tmp_path / "colour"

    first = photochrom("run", collection, output, folder=tmp_path, **STAND_IN)
    assert (first.returncode, first.stderr) == (0, "")
    assert "skipped: 1 scan, in colour already" in first.stdout
    assert states(output) == {"colour.jpg": ["already_colour"], "grey.jpg": ["done"]}
    assert not (output / "colour.jpg").exists()

    assert "Nothing to do" in photochrom("run", collection, output, folder=tmp_path, **STAND_IN).stdout

    asked = photochrom("run", collection, output, "--colour-scans", "colourize", folder=tmp_path, **STAND_IN)
    assert asked.returncode == 0
    assert states(output)["colour.jpg"] == ["already_colour", "done"]
    assert (output / "colour.jpg").exists()


def test_an_unknown_choice_is_refused(collection: Path, tmp_path: Path) -> None:
    refused = photochrom("run", collection, tmp_path / "colour", "--colour-scans", "maybe", folder=tmp_path)

    assert refused.returncode == 2
    assert "expected one of skip, colourize" in refused.stderr
