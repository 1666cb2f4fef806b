"""`make images` prints the size of each layer of the image, although the tests pass."""

import subprocess
import sys
from pathlib import Path

from tests.unit.deploy.files import ROOT

HOOK = "from tests.acceptance.images.conftest import pytest_terminal_summary\n"
TEST = """
def test_sizes(record_property):
    record_property("layer", "    12.3 MB  RUN pip install")
    record_property("other", "something else")
"""


def test_the_summary_shows_each_layer_once(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOK)
    (tmp_path / "test_sizes.py").write_text(TEST)

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = ran.stdout.partition("layers of the image")[2]
    assert ran.stdout.count("12.3 MB  RUN pip install") == 1
    assert "12.3 MB  RUN pip install" in summary
    assert "something else" not in ran.stdout
