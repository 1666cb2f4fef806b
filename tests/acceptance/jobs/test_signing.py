"""Signed outputs: coloured by a worker process, sealed in a bag, and verified by the command."""

import json
from pathlib import Path

import bagit
import pytest
from PIL import Image
from skimage import data

from tests.acceptance.command import photochrom
from tests.unit.scans.metadata.certificates import write_certificate

STAND_IN = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1"}
KEYS = ("mill.jpg", "mill.png", "mill.tif", "mill.webp")


def signing_settings(folder: Path) -> dict[str, str]:
    chain, key = write_certificate(folder)
    return {"PHOTOCHROM_C2PA_CERTIFICATE": str(chain), "PHOTOCHROM_C2PA_KEY": str(key)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scans of each format that can be signed, and the bag of their signed outputs."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "scans").mkdir()
    for key in KEYS:
        grey = Image.fromarray(data.camera()[:160, :240])
        grey.convert("RGB" if key.endswith("webp") else "L").save(folder / "scans" / key)
    settings = STAND_IN | signing_settings(folder)
    run = photochrom("run", "scans", "colour", "--bag", folder=folder, **settings)
    assert (run.returncode, run.stderr) == (0, "")
    return folder


def verified(archive: Path, *options: str) -> tuple[int, str]:
    """The exit status and the standard output of `photochrom verify`."""
    database = f"sqlite:///{archive / 'colour' / '.photochrom' / 'photochrom.db'}"
    run = photochrom("verify", "1", *options, folder=archive, PHOTOCHROM_DATABASE_URL=database)
    assert run.stderr == ""
    return run.returncode, run.stdout


def test_signed_outputs_are_sealed_and_verified(archive: Path) -> None:
    assert bagit.Bag(str(archive / "colour")).validate()

    status, output = verified(archive)

    assert status == 0
    assert "4 sources and 4 outputs read again" in output
    assert "4 with valid content credentials" in output


@pytest.mark.parametrize("key", KEYS)
def test_an_output_that_was_changed_after_signing_is_listed_as_forged(archive: Path, key: str) -> None:
    output = archive / "colour" / "data" / key
    content = output.read_bytes()
    place = content.index(b"photochrom:Software") + 1  # in the XMP, so that the file can still be opened
    output.write_bytes(content[:place] + b"H" + content[place + 1 :])
    try:
        status, listing = verified(archive, "--json")
    finally:
        output.write_bytes(content)

    result = json.loads(listing)
    assert (status, result["signed"]) == (1, 3)
    differences = {difference["what"]: difference for difference in result["differences"]}
    assert set(differences) == {"changed", "forged"}
    assert differences["forged"]["key"].endswith(key)
    assert "mismatch" in differences["forged"]["detail"]


def test_a_worker_does_not_start_with_the_key_of_another_certificate(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = signing_settings(tmp_path / "other")
    settings = STAND_IN | signing_settings(tmp_path) | {"PHOTOCHROM_C2PA_KEY": other["PHOTOCHROM_C2PA_KEY"]}

    worker = photochrom("worker", folder=tmp_path, **settings)

    assert worker.returncode == 2
    assert "PHOTOCHROM_C2PA_CERTIFICATE and its key can't be used" in worker.stderr
    assert "Traceback" not in worker.stderr


def test_a_worker_whose_sign_command_fails_ends_so_that_it_is_started_again(tmp_path: Path) -> None:
    settings = STAND_IN | signing_settings(tmp_path)
    del settings["PHOTOCHROM_C2PA_KEY"]
    command = "sh -c 'echo the token is not there >&2; exit 1'"

    worker = photochrom("worker", folder=tmp_path, PHOTOCHROM_C2PA_SIGN_COMMAND=command, **settings)

    assert worker.returncode == 3
    assert "PHOTOCHROM_C2PA_SIGN_COMMAND failed: sh ended with status 1: the token is not there" in worker.stderr
