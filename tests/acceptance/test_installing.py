"""A wheel, built from this clone and installed into environments that hold nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import clean_environment
from tests.acceptance.documents import ROOT, commands
from tests.acceptance.one_machine.test_run import write_scan
from tests.waiting import wait_until

UV = Path(sys.executable).with_name("uv")
PIPX = "pipx==1.18.4"
SCHEDULER_MEGABYTES = 200
pytestmark = pytest.mark.timeout(900)  # an index may be slow


def uv(*arguments: str | Path, **settings: str) -> None:
    ran = subprocess.run([UV, *arguments], env={**os.environ, **settings}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def scheduler_only(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of `photochrom[scheduler]`."""
    environment = tmp_path_factory.mktemp("scheduler") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    install = ["pip", "install", "--quiet", "--link-mode", "copy", "--python", environment / "bin" / "python"]
    uv(*install, "--constraint", ROOT / "requirements.lock", f"photochrom[scheduler] @ file://{wheel}")
    return environment


def run(
    program: Path, *arguments: str | Path, folder: Path, settings: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**settings, PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


def test_a_wheel_claims_no_name_but_its_own(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition("/")[0] for name in archive.namelist()}
    assert {name.partition("-")[0] for name in names} == {"photochrom"}


def test_a_scheduler_needs_neither_tensorflow_nor_200_megabytes(scheduler_only: Path) -> None:
    files = [path for path in scheduler_only.rglob("*") if path.is_file() and not path.is_symlink()]
    packages = {path.name for path in scheduler_only.glob("lib/*/site-packages/*")}

    assert sum(path.stat().st_size for path in files) < SCHEDULER_MEGABYTES * 1e6
    assert not {"tensorflow", "keras", "numpy", "cv2"} & packages


def test_a_scheduler_alone_submits_and_dispatches(
    scheduler_only: Path, valkey: ValkeyServer, postgresql_url: str, tmp_path: Path
) -> None:
    program = scheduler_only / "bin" / "photochrom"
    settings = {"PHOTOCHROM_DATABASE_URL": postgresql_url, "PHOTOCHROM_BROKER_URL": valkey.url}
    write_scan(tmp_path / "scans" / "0001.png", 1)
    submit = ["submit", tmp_path / "scans", tmp_path / "colour"]
    for arguments in (["db", "upgrade"], submit):
        ran = run(program, *arguments, folder=tmp_path, settings=settings)
        assert ran.returncode == 0, ran.stderr

    with (tmp_path / "log").open("wb") as log:
        command = [program, "scheduler"]
        process = subprocess.Popen(command, cwd=tmp_path, env=clean_environment(**settings), stdout=log, stderr=log)
    wait_until(lambda: "the scheduler runs" in (tmp_path / "log").read_text())
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert "photochrom[report]" in (tmp_path / "log").read_text()
    job = json.loads(run(program, "status", "1", "--json", folder=tmp_path, settings=settings).stdout)[0]
    assert (job["state"], job["pending"]) == ("running", 1)


def test_a_command_names_the_extra_of_the_first_package_that_it_lacks(scheduler_only: Path, tmp_path: Path) -> None:
    program = scheduler_only / "bin" / "photochrom"
    for arguments, extra in ((["worker"], "worker"), (["run", tmp_path, tmp_path / "colour"], "report")):
        ran = run(program, *arguments, folder=tmp_path, settings={})
        assert ran.returncode == 2
        assert ran.stderr.count("\n") == 1
        assert f"pip install 'photochrom[{extra}]'" in ran.stderr


@pytest.fixture
def clone(wheel: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder in which docs/install.md's commands run. The tool takes gigabytes and is removed after the test."""
    (tmp_path / "dist").symlink_to(wheel.parent)
    (tmp_path / "requirements.lock").symlink_to(ROOT / "requirements.lock")
    yield tmp_path
    shutil.rmtree(tmp_path / "tools", ignore_errors=True)


def pipx_folder(folder: Path) -> Path:
    """The folder of `pipx`, in an environment that holds nothing else. Skips the test if no index can be reached."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--retries", "1", PIPX]
    ran = subprocess.run(pip, capture_output=True, text=True)
    if "No matching distribution found" in ran.stderr:
        pytest.skip(f"needs {PIPX}: pip reaches no package index that has it")
    assert ran.returncode == 0, ran.stderr
    return folder / "bin"


def install_tool(installer: str, clone: Path) -> Path:
    """Install `photochrom` by the command for `uv` or `pipx` in docs/install.md, and return the path of the tool."""
    [line] = [line for line in commands(ROOT / "docs" / "install.md") if line.startswith(f"{installer} ")]
    folder = UV.parent if installer == "uv" else pipx_folder(clone / "pipx")
    tools, programs = str(clone / "tools"), str(clone / "bin")
    uv_settings = {"UV_TOOL_DIR": tools, "UV_TOOL_BIN_DIR": programs, "UV_PYTHON": sys.executable}
    pipx_settings = {"PIPX_HOME": tools, "PIPX_BIN_DIR": programs, "PIPX_MAN_DIR": str(clone / "man")}
    # pipx would use uv in place of pip where uv is installed.
    pipx_settings |= {"PIPX_DEFAULT_PYTHON": sys.executable, "PIPX_DEFAULT_BACKEND": "pip"}
    environment = {**os.environ, **uv_settings, **pipx_settings, "PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return clone / "bin" / "photochrom"


@pytest.mark.parametrize("installer", ["uv", "pipx"])
def test_an_installed_tool_works_beside_another_package_of_the_same_name(installer: str, clone: Path) -> None:
    program = install_tool(installer, clone)
    packages = next(program.resolve().parents[1].glob("lib/*/site-packages"))
    for name in ("db", "worker", "scheduler"):
        (packages / f"{name}.py").write_text("raise SystemExit('a stranger')")
    for number in range(12):
        write_scan(clone / "scans" / f"{number:02}.png", number)

    ran = run(program, "run", "scans", "colour", folder=clone, settings={})

    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert len(list((clone / "colour").glob("*.png"))) == 12
