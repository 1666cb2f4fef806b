"""What people who join the project expect to find: hooks, a workflow, types, and pages with working links."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FOLDERS = ("docs", "deploy", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])


def test_every_hook_is_a_locked_program() -> None:
    config = ROOT / ".pre-commit-config.yaml"
    subprocess.run([BIN / "pre-commit", "validate-config", config], check=True, capture_output=True)

    [local] = yaml.safe_load(config.read_text("utf-8"))["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert local["repo"] == "local"
    assert {Path(program).parent for program in programs} == {Path(".venv/bin")}
    assert [program for program in programs if not (BIN / Path(program).name).exists()] == []


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0

    job = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["test"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


@pytest.mark.parametrize("package", ["db", "worker", "scheduler"])
def test_each_package_has_a_py_typed_file(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    lost = [link for link in links(page) if not leads_somewhere(page, link)]

    assert lost == []


def test_the_index_names_every_page() -> None:
    linked = {link.partition("#")[0] for link in links(ROOT / "docs" / "index.md")}

    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_a_heading_s_anchor_is_what_readers_are_shown() -> None:
    assert anchor("### job_progress: one row for each job") == "job_progress-one-row-for-each-job"


def links(page: Path) -> Iterator[str]:
    """The links of a page to places within the project."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", link):
            yield link


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, part = link.partition("#")
    target = page.parent / unquote(path) if path else page
    return target.exists() and (not part or part in anchors(target))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    return {anchor(heading) for heading in re.findall(r"(?m)^#+ .*$", text)}


def anchor(heading: str) -> str:
    """The anchor that GitHub makes from a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.lstrip("#").strip()).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
