"""The layout: imports go one way, folders and functions stay small, and only the model's own code loads TensorFlow."""

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

from tests.source_code import (
    BARE_WORDS,
    PACKAGES,
    ROOT,
    attributes,
    bound_names,
    functions,
    hand_written,
    imports,
    imports_in_functions,
    module_name,
    modules_at_the_top,
    modules_by_folder,
    source_files,
)

# The beginnings of the names of modules that a part must not import.
FORBIDDEN = {
    "db": ("worker", "scheduler"),
    "worker": ("scheduler",),
    "worker/model": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/storage": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/scans": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "worker.tasks.app"),
    "worker/inference/batching.py": ("db.", "celery", "sqlalchemy", "worker.settings.settings", "socket", "tensorflow"),
    "scheduler": ("tensorflow", "keras"),
}
# Errors depend on nothing else, and every part may raise them.
ALLOWED = ("db.errors", "worker.errors")

# The parts of `worker` that `scheduler` may use, as it would use a library.
LIBRARY = (
    "worker.arrays",
    "worker.broker",
    "worker.error_codes",
    "worker.errors",
    "worker.extras",
    "worker.inference",
    "worker.model.checkpoint",
    "worker.observability",
    "worker.scans",
    "worker.settings",
    "worker.storage",
    "worker.supervision.managed_process",
    "worker.supervision.model_server_process",
    "worker.system",
)

MODULES_IN_A_FOLDER = 12
# Folders that may hold more modules, each with its limit. A limit may only be lowered.
FULLER_FOLDERS: dict[str, int] = {}

FIRST_WITH_OLDEST_WORKER = 20  # the revision from which on each one names it

FUNCTION_LINES = 40
# These limits too may only be lowered.
LONGER_FUNCTIONS = 0
IMPORTS_IN_FUNCTIONS = 25
BARE_WORD_PERCENT = 0.3


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_go_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in source_files(part)
        for name in imports(path)
        if name.startswith(FORBIDDEN[part]) and not name.startswith(ALLOWED)
    ]

    assert source_files(part)
    assert wrong == []


def test_the_scheduler_uses_of_the_worker_what_is_a_library() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in source_files("scheduler")
        for name in imports(path)
        if name.startswith("worker.") and not is_of_the_library(name)
    ]

    assert wrong == []


def test_every_part_of_the_library_exists() -> None:
    modules = {module_name(path) for path in source_files("worker")}

    assert set(LIBRARY) - modules == set()


def is_of_the_library(name: str) -> bool:
    """Whether a name is in the library, or is a package that holds a part of it, such as `worker.supervision`."""
    return any(f"{name}.".startswith(f"{part}.") or f"{part}.".startswith(f"{name}.") for part in LIBRARY)


def test_no_imports_go_in_a_circle() -> None:
    modules = {module_name(path): path for package in PACKAGES for path in source_files(package)}
    graph = {
        name: {imported for imported in modules_at_the_top(path, modules) if imported in modules} - {name}
        for name, path in modules.items()
    }

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_packages_import_each_other_in_a_circle() -> None:
    """`worker.settings` and `worker.inference` are such packages: the first two parts of a module's name."""
    modules = {module_name(path): path for package in PACKAGES for path in source_files(package)}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        imported = (two_levels(module) for module in modules_at_the_top(path, modules) if module in modules)
        graph.setdefault(two_levels(name), set()).update(set(imported) - {two_levels(name), name.partition(".")[0]})

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def two_levels(name: str) -> str:
    return ".".join(name.split(".")[:2])


def test_a_folder_answers_one_question() -> None:
    fuller = {
        folder: count
        for folder, count in modules_by_folder().items()
        if count > FULLER_FOLDERS.get(folder, MODULES_IN_A_FOLDER)
    }

    assert fuller == {}, f"at most {MODULES_IN_A_FOLDER} modules: look for the second thing in these folders"


def test_unit_tests_stand_in_folders_named_after_what_they_test() -> None:
    folders = {path.name for path in (ROOT / "tests" / "unit").iterdir() if (path / "__init__.py").is_file()}
    packages = {Path(folder).name for folder in modules_by_folder()}

    assert folders - packages == {"deploy"}, "name a folder of tests after a folder of db, worker or scheduler"


def test_functions_are_short() -> None:
    longer = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in hand_written()
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES
    ]

    assert len(longer) <= LONGER_FUNCTIONS, "\n".join(longer)


def test_imports_stand_at_the_top() -> None:
    within = list(chain.from_iterable(imports_in_functions(path) for path in hand_written()))

    assert len(within) <= IMPORTS_IN_FUNCTIONS


def test_names_are_nouns_of_the_field() -> None:
    names = list(chain.from_iterable(bound_names(path) for path in hand_written()))
    bare = [name for name in names if name in BARE_WORDS]

    assert 100 * len(bare) / len(names) <= BARE_WORD_PERCENT


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in source_files(package)
        if {"os.getenv", "os.environ"} & set(attributes(path))
    }

    # The first looks for misspelt names. Seven pass the environment on to processes that they start. The last two set
    # variables that TensorFlow reads, and read the one by which Keras chooses its backend.
    assert readers <= {
        "worker/settings/settings.py",
        "worker/supervision/celery_process.py",
        "worker/supervision/supervisor.py",
        "scheduler/standalone/system.py",
        "scheduler/bench/probe.py",
        "scheduler/report/thumbnails/process.py",
        "scheduler/web/pictures/pool.py",
        "scheduler/standalone/services/service.py",
        "worker/model/backends/loading.py",
        "worker/extras.py",
    }


def loaded_by(code: str) -> set[str]:
    """Which of the heavy libraries a process has loaded after it has run `code`."""
    heavy = {"tensorflow", "keras", "sqlalchemy", "celery", "boto3", "numpy", "pyvips", "cv2"}
    script = f"import sys\n{code}\nprint('loaded', *sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(run.stdout.splitlines()[-1].split()[1:])


def test_only_the_model_s_own_processes_load_tensorflow() -> None:
    modules = (
        "scheduler.cli",
        "scheduler.daemon.loop",
        "scheduler.bench.parts.worker",
        "worker.tasks.colorize_chunk",
        "worker.supervision.supervisor",
    )

    assert not loaded_by(f"import {', '.join(modules)}") & {"tensorflow", "keras"}


def test_training_shows_its_help_without_tensorflow() -> None:
    code = "from worker.training.__main__ import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass"

    assert "tensorflow" not in loaded_by(code)


def test_the_command_line_loads_nothing_heavy_to_show_its_help() -> None:
    assert loaded_by("import scheduler.cli") == set()


def test_each_migration_follows_the_one_before() -> None:
    line = re.compile(r'^(?:down_)?revision = "(\d+)"', re.MULTILINE)
    files = sorted((ROOT / "db/migrations/versions").glob("[0-9]*.py"))
    pairs = [line.findall(path.read_text(encoding="utf-8")) for path in files]
    numbers = [int(pair[0]) for pair in pairs]
    assert numbers == list(range(1, 1 + len(files)))
    assert [int(pair[1]) for pair in pairs[1:]] == numbers[:-1]


def test_each_migration_names_the_oldest_worker_that_the_database_supports_after_it() -> None:
    line = re.compile(r'^oldest_worker = "(\d+)"', re.MULTILINE)
    files = sorted((ROOT / "db/migrations/versions").glob("[0-9]*.py"))[FIRST_WITH_OLDEST_WORKER - 1 :]
    oldest = [[int(number) for number in line.findall(path.read_text(encoding="utf-8"))] for path in files]
    assert [len(numbers) for numbers in oldest] == [1] * len(files)
    assert oldest == sorted(oldest), "a worker that is no longer supported stays so"
    assert all(numbers[0] <= number for number, numbers in enumerate(oldest, FIRST_WITH_OLDEST_WORKER))
