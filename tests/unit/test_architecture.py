"""The house stands: imports go one way, and only the model's own code loads TensorFlow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("db", "worker", "scheduler")

# What a part must not import, by the beginnings of module names.
FORBIDDEN = {
    "db": ("worker", "scheduler"),
    "worker": ("scheduler",),
    "worker/model": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/storage": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/scans": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/inference/batching.py": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "socket", "tensorflow"),
    "scheduler": ("tensorflow", "keras"),
}
# Errors stand on the ground floor, and everybody may raise them.
ALLOWED = ("db.errors", "worker.errors")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def python_files(part: str) -> list[Path]:
    path = ROOT / part
    return [path] if path.suffix else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_go_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(part)
        for name in imports(path)
        if name.startswith(FORBIDDEN[part]) and not name.startswith(ALLOWED)
    ]

    assert python_files(part)
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in python_files(package)
        if {"os.getenv", "os.environ"} & set(names_used(path))
    }

    # The first looks for misspelt names, five pass it on to what they start, the others set what TensorFlow reads.
    assert readers <= {
        "worker/settings/settings.py",
        "worker/supervision/celery_process.py",
        "worker/supervision/supervisor.py",
        "scheduler/standalone/system.py",
        "scheduler/bench/probe.py",
        "scheduler/standalone/services/service.py",
        "worker/inference/server.py",
        "worker/bench/model.py",
        "worker/training/__main__.py",
    }


def names_used(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize(
    "module",
    [
        "scheduler.cli",
        "scheduler.daemon.loop",
        "scheduler.bench.parts.worker",
        "worker.tasks.colorize_chunk",
        "worker.supervision.supervisor",
    ],
)
def test_tensorflow_is_not_loaded_by(module: str) -> None:
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_training_shows_its_help_without_tensorflow() -> None:
    code = (
        "import sys\n"
        "from worker.training.__main__ import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: sys.exit('tensorflow' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_the_command_line_loads_nothing_heavy_to_show_its_help() -> None:
    code = (
        "import sys, scheduler.cli\n"
        "sys.exit(', '.join({'sqlalchemy', 'celery', 'boto3', 'numpy', 'pyvips', 'cv2'} & set(sys.modules)) or 0)"
    )

    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)

    assert (run.returncode, run.stderr) == (0, "")
