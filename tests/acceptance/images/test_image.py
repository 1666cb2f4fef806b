"""The image of deploy/Dockerfile, run as an archive would run it: as its own user, which may write only to /colour."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.standalone.samples import write_samples
from tests.acceptance.images.conftest import LAYER
from tests.docker import absence, docker

if reason := absence():
    pytest.skip(reason, allow_module_level=True)

USER = 10001
LOCKED = ["--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@pytest.fixture(scope="module")
def colour(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of `docker run ... run /scans /colour` over the demo's scans, without any network."""
    folder = tmp_path_factory.mktemp("image")
    write_samples(folder / "samples")
    (folder / "colour").mkdir()
    os.chown(folder / "colour", USER, USER)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o055)
    mounts = ["--volume", f"{folder / 'samples' / 'scans'}:/scans:ro", "--volume", f"{folder / 'colour'}:/colour"]
    ran = docker("run", *LOCKED, "--network", "none", *mounts, image, "run", "/scans", "/colour", check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr  # one scan is damaged on purpose
    return folder / "colour"


def test_it_colours_a_folder(colour: Path) -> None:
    database = sqlite3.connect(colour / ".photochrom" / "photochrom.db")
    states = dict(database.execute("SELECT state, count(*) FROM scan GROUP BY state").fetchall())

    assert states["failed"] == 1
    assert states["done"] >= 13
    outputs = [path for path in colour.rglob("*") if path.suffix in (".jpg", ".tif", ".png", ".jp2", ".webp")]
    assert {path.stat().st_uid for path in outputs} == {USER}


def test_the_layer_that_changes_with_every_commit_is_small(
    image: str, record_property: Callable[[str, object], None]
) -> None:
    history = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image).stdout
    layers = [(int(line.split()[0]), line.partition(" ")[2]) for line in history.splitlines()]
    [ours] = [size for size, command in layers if "/wheel/*.whl" in command]
    for size, command in layers:
        record_property(LAYER, f"{size / 1e6:8.1f} MB  {command[:100]}")

    assert ours < 150e6
    assert sum(size for size, _ in layers) < 3.5e9


def test_it_is_not_root_and_tini_is_its_first_process(image: str) -> None:
    config = json.loads(docker("inspect", image).stdout)[0]["Config"]

    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"][0] == "tini"
    assert docker("run", *LOCKED, image, "--help").stdout.count("photochrom")
