"""deploy/compose.yml as it runs: the commands of docs/operate.md, who is let in to the pages, killed processes and
containers, and `down` and `up` again.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scheduler.standalone.samples import write_samples
from scheduler.web.auth import csrf
from scheduler.web.auth.identity import SESSION_COOKIE
from tests.acceptance.documents import ROOT, commands
from tests.acceptance.images.compose_system import COMPOSE, System, inspect, running
from tests.acceptance.one_machine.test_run import write_scan
from tests.docker import absence, docker
from tests.prometheus import dashboard_queries

if reason := absence():
    pytest.skip(reason, allow_module_level=True)

SCANS = 300
PASSWORD = "correct horse battery"
# Metrics that have their first sample only after something that the documented commands do not do.
WITHOUT_SAMPLES = {
    "photochrom_scan_errors_total",  # an error of a scan
    "photochrom_schedule_fired_timestamp_seconds",  # a schedule that has fired
}


@pytest.fixture
def system(services: None, tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, "compose.test.yml", "compose.quick.yml") as system:
        yield system


def submit(system: System) -> None:
    """Submit job 1 over scans in a bucket, and count every write of the state `done`."""
    for number in range(SCANS):
        write_scan(system.folder / "scans" / f"box {number % 3}" / f"{number:04}.png", number)
    system.count_done_writes()
    system.make_buckets()
    system.photochrom("submit", "s3://archive/plates", "s3://archive-colour/plates")


def expect_each_done_once(system: System) -> None:
    system.wait(lambda: system.job(1)["state"] == "completed", 400)
    assert system.job(1)["done"] == SCANS
    assert system.sql("SELECT count(*), count(DISTINCT scan_id) FROM done_log") == [f"{SCANS}|{SCANS}"]
    verified = system.photochrom("verify", "1")
    assert "each is as recorded" in " ".join(verified.split())


def test_the_documented_commands_work_and_the_dashboard_has_data(services: None, tmp_path: Path) -> None:
    write_samples(tmp_path / "samples")
    (tmp_path / "samples" / "scans").rename(tmp_path / "scans")
    with running(tmp_path, "compose.test.yml") as system:
        program = " ".join(system.program())
        page = [line for line in commands(ROOT / "docs" / "operate.md") if line.startswith("docker compose")]
        assert len(page) > 5
        for line in page:
            typed = line.replace(f"docker compose --file {COMPOSE}", program).replace(" --build", " --no-build")
            typed = typed.replace(" exec ", " exec --no-tty ").replace("~", str(tmp_path))
            ran = subprocess.run(["bash", "-c", typed], cwd=ROOT, capture_output=True, text=True, timeout=300)
            assert ran.returncode == (1 if "--watch" in line else 0), f"{typed}: {ran.stdout}{ran.stderr}"
        assert system.job(1)["done"] >= 13
        assert len([path for path in (tmp_path / "colour").rglob("*") if path.is_file()]) >= 14
        expect_nothing_wrong(system)
        expect_data(system)


def expect_nothing_wrong(system: System) -> None:
    """The doctor looks at the services, the stores, /scratch and the model from within a container."""
    where = ("--source", "s3://archive/glass-plates", "--destination", "s3://archive-colour/glass-plates")
    for service in ("scheduler", "worker"):
        findings = json.loads(system.photochrom("doctor", *where, "--json", service=service))
        assert [finding for finding in findings if finding["state"] == "wrong"] == []
        subjects = {finding["what"] for finding in findings}
        assert {"database", "broker", "source", "destination", "scratch", "checkpoint", "device"} <= subjects


def expect_data(system: System) -> None:
    """The live Prometheus understands each query of the dashboard, and has scraped every metric that they name."""
    by_name = "count by (__name__) ({__name__=~'photochrom_.*'})"
    names = {name for query in dashboard_queries() for name in re.findall(r"photochrom_\w+", query)} - WITHOUT_SAMPLES
    assert len(names) > 10
    system.wait(lambda: names <= {series["metric"]["__name__"] for series in system.prometheus(by_name)}, 60)
    for query in dashboard_queries():
        system.prometheus(query)
    system.wait(lambda: len(system.prometheus("up == 1")) >= 2)


def sign_in(browser: httpx.Client, password: str) -> httpx.Response:
    """Sign in as the form does: with the token that belongs to the browser's cookie."""
    browser.get("/sign-in")
    token = csrf.token(browser.cookies[csrf.BROWSER_COOKIE])
    return browser.post("/sign-in", data={csrf.FIELD: token, "name": "ada", "password": password, "next": "/jobs"})


def open_pages(system: System) -> None:
    """Make the account for which the pages wait: without one, their container ends and is started again."""
    system.wait(lambda: "photochrom users add" in system.compose("logs", "web"))
    system.photochrom("users", "add", "ada", "--role", "operator", typed=f"{PASSWORD}\n")
    [web] = system.containers("web", "--all")
    system.wait(lambda: inspect(web, "{{.State.Health.Status}}") == "healthy")


def test_the_pages_wait_for_an_account_and_let_in_only_who_knows_its_password(system: System) -> None:
    open_pages(system)
    address = f"http://127.0.0.1:{system.port('web', 8765)}"

    with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
        assert sign_in(browser, "wrong horse battery").status_code == 401
        assert SESSION_COOKIE not in browser.cookies
        assert browser.get("/jobs").url.path == "/sign-in"
        assert sign_in(browser, PASSWORD).url.path == "/jobs"
        session = browser.cookies[SESSION_COOKIE]

    with httpx.Client(base_url=address, cookies={SESSION_COOKIE: session}, timeout=30) as browser:
        assert "ada, operator" in browser.get("/jobs").text
    with httpx.Client(base_url=address, cookies={SESSION_COOKIE: "made up"}, timeout=30) as browser:
        assert browser.get("/jobs").headers["location"].startswith("/sign-in")


def test_killed_containers_come_back_and_each_scan_is_done_once(system: System) -> None:
    system.up("--scale", "worker=2", "--no-recreate")
    open_pages(system)
    submit(system)
    for service in ("worker", "scheduler", "web", "valkey", "s3", "postgresql"):
        before = system.job(1)["done"]
        victim = system.containers(service)[0]
        restarts = int(inspect(victim, "{{.RestartCount}}"))
        system.kill(victim)
        again = f"true {restarts + 1}"
        system.wait(lambda victim=victim, again=again: inspect(victim, "{{.State.Running}} {{.RestartCount}}") == again)
        system.wait(lambda before=before: done(system) > before or done(system) == SCANS)

    expect_each_done_once(system)


def done(system: System) -> int:
    """The number of done scans, counted by PostgreSQL; -1 while it recovers after a kill."""
    rows = system.sql("SELECT count(*) FROM scan WHERE state = 'done'", check=False)
    return int(rows[0]) if rows else -1


def test_down_and_up_again_loses_nothing_and_a_stop_drains(system: System) -> None:
    submit(system)
    system.wait(lambda: done(system) >= 40)
    [worker] = system.containers("worker")

    system.compose("stop", "worker")
    assert inspect(worker, "{{.State.ExitCode}}") == "0"
    assert system.sql("SELECT count(*) FROM chunk WHERE state = 'leased'") == ["0"]
    system.compose("down")
    system.up()

    expect_each_done_once(system)


def test_a_killed_child_is_reaped_and_replaced(system: System) -> None:
    submit(system)
    system.wait(lambda: done(system) >= 20)
    [worker] = system.containers("worker")
    script = "import os,signal,psutil;" + (
        "kids=[p for p in psutil.process_iter() if 'ForkPoolWorker' in ' '.join(p.cmdline())"
        " or (p.parent() and 'worker_main' in ' '.join(p.parent().cmdline()))];"
        "os.kill(kids[0].pid, signal.SIGKILL); print(len(kids))"
    )
    assert int(docker("exec", worker, "/opt/photochrom/bin/python", "-c", script).stdout) >= 1

    expect_each_done_once(system)
    processes = docker("exec", worker, "sh", "-c", "cat /proc/[0-9]*/stat").stdout
    assert [line for line in processes.splitlines() if ") Z " in line] == []
