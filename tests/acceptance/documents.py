"""The shell commands in README.md and docs/, as somebody would type them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Commands that test_documented_commands.py does not run, each with the test that runs it, or with what it would need.
ELSEWHERE = {
    r"make (demo|test)$": "tests/acceptance/one_machine/test_demo.py; and this suite",
    r"python3 -m venv /opt|/opt/photochrom/bin/pip ": "an index; the Makefile installs the same way",
    r"export PATH=/opt": "goes with it",
    r"useradd|install -D|cp deploy/systemd|systemctl ": "a machine under systemd; tests/unit/deploy/test_systemd.py",
    r"python3 -m pip wheel|uv tool |pipx ": "tests/acceptance/test_installing.py",
    r"docker |kubectl |helm ": "tests/acceptance/images/test_compose.py; a cluster: tests/unit/deploy",
    r"photochrom jobs ": "tests/integration/archive/test_archiving_killed.py",
    r"celery --app photochrom.celery_app flower": "tests/acceptance/pools/test_operation.py",
    r"photochrom (web|users)\b": "tests/acceptance/jobs/test_web.py",
    r"curl |box=box-0042": "tests/acceptance/jobs/test_web.py",
    r"psql |sqlite3 |pg_dump |pg_restore |createdb ": "clients; tests run every query of docs/queries.md",
    r"pip download |python -m worker\.training (bundle|yardstick) ": "tests/unit/training/commands/test_bundle.py",
    r"photochrom (train|cross-fit|evaluate) ": "tests/unit/training/commands/test_commands.py",
}
_FOREVER = re.compile(r"(?:PHOTOCHROM_\w+=\S+ )*photochrom (scheduler|worker|web)$")


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """The commands in their order, each on one line, without comments."""
    blocks = re.findall(r"(?ms)^ *```sh\n(.*?)^ *```$", page.read_text("utf-8"))
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(^|\s+)#( .*|$)", "", line).strip() for line in lines)
    return [re.sub(r" {2,}", " ", line) for line in bare if line]


def elsewhere(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in ELSEWHERE)


def script(page: Path, places: dict[str, str]) -> str:
    """A Bash script that runs a page's commands, with the examples in `places` replaced by their real values.

    Processes that do not end by themselves run in the background. The script waits until those that serve their
    health are ready.
    """
    steps = []
    for command in filter(lambda each: not elsewhere(each), commands(page)):
        for example, real in places.items():
            command = command.replace(example, real)
        steps.append(f"echo {_quoted('+ ' + command)}")
        steps.append(f"forever {command}" if _FOREVER.fullmatch(command) else command)
    return _PROLOGUE + "\n".join(steps) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_PROLOGUE = """\
set -euo pipefail
trap 'status=$?; kill $(jobs -p) 2> /dev/null || true; wait; exit $status' EXIT
forever() {
    env "$@" >> processes.log 2>&1 &
    for assignment in "$@"; do
        case $assignment in PHOTOCHROM_METRICS_PORT=*)
            for _ in $(seq 120); do env "$assignment" photochrom health > /dev/null 2>&1 && break; sleep 0.5; done ;;
        esac
    done
}
"""
