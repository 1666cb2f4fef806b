"""A worker with several stand-in devices."""

from pathlib import Path

import cv2
import numpy as np

from tests.acceptance.command import photochrom


def colourize(folder: Path, **settings: str) -> tuple[int, str, str]:
    (folder / "scans").mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / "scans" / f"{number}.png"), np.full((40, 50), 20 * number, np.uint8))
    settings |= {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "20", "PHOTOCHROM_CHUNK_SCANS": "3"}
    run = photochrom("run", "scans", "colour", folder=folder, **settings)
    log = folder / "colour" / ".photochrom" / "logs" / "worker.log"
    return run.returncode, run.stdout + run.stderr, log.read_text() if log.exists() else ""


def test_a_model_server_for_each_device_and_children_for_all_of_them(tmp_path: Path) -> None:
    status, said, log = colourize(tmp_path, PHOTOCHROM_DEVICES="0,1", PHOTOCHROM_CHILDREN="3")

    assert status == 0, said + log
    assert "model.sock" in log
    assert "model-1.sock" in log
    assert "3 children of 11 threads" in log
    assert "2 x stand-in, in float32, batches of 8" in log


def test_a_device_without_a_child_is_refused(tmp_path: Path) -> None:
    status, said, _ = colourize(tmp_path, PHOTOCHROM_DEVICES="0,1", PHOTOCHROM_CHILDREN="1")

    assert status == 2
    assert "there are 2 devices for 1 children" in said
