"""The Dockerfile passes hadolint; its images do not run as root, and hold the versions that the tests ran with."""

import re
import subprocess
from importlib.metadata import requires
from pathlib import PurePath

import pytest
from packaging.requirements import Requirement

from tests.unit.deploy.files import DEPLOY, ROOT, program

DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
STAGES = {stage.split()[2]: stage for stage in re.split(r"(?m)^FROM ", DOCKERFILE)[1:]}


def test_hadolint_finds_nothing() -> None:
    hadolint = program("hadolint")

    checked = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


def test_one_base_which_can_be_pinned_is_under_every_stage() -> None:
    assert {stage.split()[0] for stage in STAGES.values()} <= {"${BASE}", *STAGES}


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_runs_as_a_user_of_its_own(target: str) -> None:
    assert STAGES[target].rstrip().splitlines()[-1].startswith("USER 10001") or "\nUSER 10001:10001" in STAGES[target]


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    let_through = set(re.findall(r"(?m)^!(\S+)", (ROOT / ".dockerignore").read_text("utf-8")))
    for names in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE):
        for name in names.split():
            assert (ROOT / name).exists()
            assert any(PurePath(name).match(pattern) for pattern in let_through), name


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_an_image_has_the_versions_that_the_tests_ran_with(device: str) -> None:
    tested, built = (
        dict(re.findall(r"(?m)^([\w.-]+)==([^ ;]+)", path.read_text("utf-8")))
        for path in (ROOT / "requirements.lock", DEPLOY / f"requirements-{device}.lock")
    )
    # On x86-64 the image for CPUs has tensorflow-cpu: the same TensorFlow without the code for GPUs.
    if device == "cpu":
        assert built.pop("tensorflow-cpu") == tested["tensorflow"]
    assert {name: version for name, version in built.items() if name in tested} == {
        name: version for name, version in tested.items() if name in built
    }
    assert "psycopg" in built
    assert "pytest" not in built


@pytest.mark.parametrize("extra", ["", "run", "web", "archive", "c2pa", "traces"])
def test_an_image_lacks_nothing_that_its_processes_ask_for(extra: str) -> None:
    needed = {
        requirement.name.lower()
        for requirement in map(Requirement, requires("photochrom") or [])
        if requirement.name != "photochrom"
        and (not requirement.marker or (extra and requirement.marker.evaluate({"extra": extra})))
    }
    lock = (DEPLOY / "requirements-cpu.lock").read_text("utf-8")
    assert needed <= set(re.findall(r"(?m)^([\w-]+)(?:\[.*?\])?==", lock))
