"""The temporary folders that killed workers leave on a machine are removed by the next worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from worker.system.temp_folders import own_folder, sweep

OWNER = """
import sys, time
from pathlib import Path
from worker.system.temp_folders import own_folder
with own_folder("photochrom-test-", Path(sys.argv[1])) as folder:
    (folder / "scan").write_bytes(b"large")
    print(folder, flush=True)
    time.sleep(60)
"""


def start_owner(parent: Path) -> tuple["subprocess.Popen[str]", Path]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(parent)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    return owner, Path(owner.stdout.readline().strip())


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_a_living_one_is_left(tmp_path: Path) -> None:
    killed, left_behind = start_owner(tmp_path)
    living, in_use = start_owner(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert in_use.exists()

    with own_folder("photochrom-test-", tmp_path) as own:
        found = set(tmp_path.iterdir())

    living.kill()
    living.communicate()
    assert found == {in_use, own}
    assert not left_behind.exists()
    assert not own.exists()


def test_a_folder_that_is_not_a_worker_s_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "photochrom-test-notes").mkdir()
    (tmp_path / "photochrom-test-file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "in-use").touch()
    (tmp_path / "photochrom-test-link").symlink_to(tmp_path / "elsewhere")
    before = sorted(os.listdir(tmp_path))

    sweep("photochrom-test-", tmp_path)

    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "elsewhere" / "in-use").exists()
