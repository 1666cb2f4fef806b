"""Folders that are the same because of a mount: the system's table of mounts, and real bind mounts if possible."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import UNSHARE
from worker.system.mounts import Mount, paths_within, read_mounts

NEW_MOUNTS = ["unshare", "--map-root-user", "--mount"]
ASK = """
import sys
from worker.storage import overlap, parse_location
print(overlap(parse_location(sys.argv[1]), parse_location(sys.argv[2])), overlap(*map(parse_location, sys.argv[:0:-1])))
"""


def test_the_systems_table_is_read(tmp_path: Path) -> None:
    whole = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"
    part = "65 44 254:0 /a\\040b/\\134 /mnt/café rw - ext4 /dev/vda rw"
    (tmp_path / "mountinfo").write_text(f"{whole}\n{part}\n", "utf-8")
    assert read_mounts(tmp_path / "mountinfo") == [
        Mount("254:0", Path("/"), Path("/"), "ext4"),
        Mount("254:0", Path("/a b/\\"), Path("/mnt/café"), "ext4"),
    ]
    assert read_mounts(tmp_path / "none") == []


def test_two_shares_of_one_server_are_not_taken_for_one(tmp_path: Path) -> None:
    """NFS gives both shares the device of their common file system, and the root "/"."""
    for name in ("scans", "colour"):
        (tmp_path / name).mkdir()
    mounts = [Mount("0:55", Path("/"), tmp_path / name, "nfs") for name in ("scans", "colour")]

    assert list(paths_within(tmp_path / "scans", mounts)) == [tmp_path / "scans"]


def can_mount() -> bool:
    return UNSHARE.path() is not None and subprocess.run([*NEW_MOUNTS, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs util-linux, and leave to make a mount namespace")
@pytest.mark.parametrize(
    ("bound", "at", "destination", "expected"),
    [
        ("masters/box", "elsewhere", "elsewhere", "True True"),
        ("masters/box", "elsewhere", "elsewhere/new/colour", "True True"),
        ("elsewhere", "masters/box", "elsewhere/new", "True True"),  # it is visible within the source
        ("masters/box", "colour/inner", "colour", "True True"),  # an output could overwrite a master
        ("masters", "elsewhere", "colour", "False False"),
        ("elsewhere", "masters", "colour", "False False"),
    ],
)
def test_a_bind_mount_does_not_hide_an_overlap(
    bound: str, at: str, destination: str, expected: str, tmp_path: Path
) -> None:
    for name in ("masters/box", "elsewhere", "colour/inner"):
        (tmp_path / name).mkdir(parents=True)
    mounted = ["sh", "-c", f'mount --bind {bound} {at} && exec "$@"', "sh", sys.executable, "-P", "-c", ASK]
    paths = [str(tmp_path / "masters"), str(tmp_path / destination)]

    asked = subprocess.run([*NEW_MOUNTS, *mounted, *paths], cwd=tmp_path, capture_output=True, text=True)

    assert (asked.stdout, asked.stderr) == (expected + "\n", "")
