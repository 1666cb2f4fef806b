"""Wrong use and missing services: one line on standard error, exit status 2 or 3, nothing changed.

`run` runs a command within this process. `process` starts a process, for commands that become another program and for
tests in which the command's end, terminal, pipe or folder matters.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from db.queries.jobs import lifecycle
from db.session import make_engine, read_scope
from scheduler.standalone.services import S3Server
from tests.acceptance.command import clean_environment, photochrom, photochrom_here
from worker.model.checkpoint import bundled_checkpoint_path

Run = Callable[..., CompletedProcess[str]]
SECRET = "hunter2-hunter2"


@pytest.fixture
def database(migrated_sqlite_file: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite_file, tmp_path / "jobs.db")
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def run(tmp_path: Path, database: str) -> Run:
    def run(*arguments: str | Path, **settings: str) -> CompletedProcess[str]:
        return photochrom_here(*arguments, folder=tmp_path, **{"PHOTOCHROM_DATABASE_URL": database, **settings})

    return run


@pytest.fixture
def process(tmp_path: Path, database: str) -> Run:
    def process(*arguments: str | Path, prefix: Sequence[str] = (), **settings: str) -> CompletedProcess[str]:
        settings = {"PHOTOCHROM_DATABASE_URL": database, **settings}
        return photochrom(*arguments, folder=tmp_path, prefix=prefix, **settings)

    return process


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"never opened by these tests")
    return folder


def expect_refusal(run: CompletedProcess[str], status: int, *words: str) -> None:
    assert run.returncode == status, run.stderr
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("photochrom: ")
    for word in words:
        assert word in lines[0]
    assert SECRET not in run.stdout + run.stderr


def jobs_in(database: str) -> list[int]:
    with read_scope(make_engine(database)) as session:
        return lifecycle.recent_ids(session, limit=10)


@pytest.mark.parametrize(
    "location", ["ftp://host/scans", "s3://", "s3:/bucket/x", "s3://UPPER_case/x", "gs://bucket/x", "https://host/x"]
)
def test_a_location_that_is_none(run: Run, database: str, tmp_path: Path, location: str) -> None:
    expect_refusal(run("submit", location, tmp_path / "out"), 2, location, "s3://bucket", "folder")
    assert jobs_in(database) == []


def test_a_folder_that_is_not_there(run: Run, tmp_path: Path) -> None:
    expect_refusal(run("submit", tmp_path / "nowhere", tmp_path / "out"), 2, "nowhere")


def test_an_empty_folder(run: Run, database: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    expect_refusal(run("submit", tmp_path / "empty", tmp_path / "out"), 2, "empty", "expected", ".tif")
    assert jobs_in(database) == []


def test_a_folder_without_a_scan(run: Run, database: str, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read me.txt").write_text("no scan")

    expect_refusal(run("submit", tmp_path / "notes", tmp_path / "out"), 2, "1 file and no scan")
    assert jobs_in(database) == []


@pytest.mark.parametrize("destination", [".", "colour", "colour/deep/er", ".."])
def test_a_destination_that_touches_its_source(run: Run, scans: Path, destination: str) -> None:
    expect_refusal(run("submit", scans, scans / destination), 2, "overlap", "choose a destination outside the source")


def test_an_unknown_format(run: Run, scans: Path, tmp_path: Path) -> None:
    expect_refusal(run("submit", scans, tmp_path / "out", "--format", "bmp"), 2, "bmp", "jpeg", "tiff")


def test_a_database_that_is_not_migrated(run: Run, scans: Path, tmp_path: Path) -> None:
    (tmp_path / "fresh.db").touch()
    fresh = f"sqlite:///{tmp_path}/fresh.db"

    expect_refusal(
        run("submit", scans, tmp_path / "out", PHOTOCHROM_DATABASE_URL=fresh), 2, "no Photochrom tables", "db upgrade"
    )


def test_a_database_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=f"sqlite:///{tmp_path}/typo.db"), 2, "typo.db", "db upgrade")
    expect_refusal(photochrom("status", folder=tmp_path), 2, "PHOTOCHROM_DATABASE_URL is not set", "postgresql://")
    assert not list(tmp_path.glob("typo.db*")) + list(tmp_path.glob("photochrom.db*"))


def test_a_setting_that_is_misspelt(run: Run, process: Run) -> None:
    expect_refusal(run("status", PHOTOCHROM_LEASE_SECOND="60"), 2, "PHOTOCHROM_LEASE_SECONDS?")
    expect_refusal(process("worker", PHOTOCHROM_COLOUR_OF_THE_SHED="red"), 2, "is not a setting", "photochrom settings")


@pytest.mark.parametrize("command", [["status"], ["submit", "scans", "out"]])
def test_a_database_that_cannot_be_reached(process: Run, scans: Path, command: list[str]) -> None:
    url = f"postgresql://clerk:{SECRET}@127.0.0.1:9/photochrom"
    expect_refusal(process(*command, PHOTOCHROM_DATABASE_URL=url), 3, "127.0.0.1:9", "PHOTOCHROM_DATABASE_URL")


def test_an_s3_server_that_cannot_be_reached(process: Run, tmp_path: Path) -> None:
    settings = {
        "PHOTOCHROM_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "clerk",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    expect_refusal(process("submit", "s3://scans/in", tmp_path / "out", **settings), 3, "127.0.0.1:9")


def test_a_missing_bucket_and_an_empty_prefix(run: Run, s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    settings = s3_server.environment()

    expect_refusal(run("submit", "s3://no-such-bucket/in", tmp_path / "out", **settings), 2, "no-such-bucket")
    expect_refusal(run("submit", f"s3://{bucket}/in", tmp_path / "out", **settings), 2, f"s3://{bucket}/in", "nothing")
    assert not (tmp_path / "out").exists()


def test_wrong_and_missing_credentials(run: Run, s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    settings = s3_server.environment()
    wrong = {**settings, "AWS_SECRET_ACCESS_KEY": SECRET}
    missing = {**settings, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}

    expect_refusal(run("submit", f"s3://{bucket}/in", tmp_path / "out", **wrong), 2, "does not accept the credentials")
    expect_refusal(run("submit", f"s3://{bucket}/in", tmp_path / "out", **missing), 2, "no AWS credentials")


def test_a_checkpoint_whose_hash_does_not_match(process: Run, tmp_path: Path) -> None:
    shutil.copytree(bundled_checkpoint_path(), tmp_path / "altered")
    weights = tmp_path / "altered" / "fusion.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)

    expect_refusal(
        process("worker", PHOTOCHROM_CHECKPOINT=str(tmp_path / "altered")), 2, "fusion.safetensors", "SHA-256"
    )


def test_a_password_in_the_query_of_a_url_is_not_shown(run: Run, process: Run) -> None:
    url = f"postgresql://clerk@127.0.0.1:9/photochrom?password={SECRET}"

    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=url), 3, "127.0.0.1:9")
    expect_refusal(process("scheduler", PHOTOCHROM_BROKER_URL=f":{SECRET}@redis:6379"), 2, "PHOTOCHROM_BROKER_URL")


def test_a_file_that_cannot_be_written(run: Run, scans: Path, tmp_path: Path) -> None:
    run("submit", scans, tmp_path / "out")

    expect_refusal(run("scans", "1", "--csv", "nowhere/scans.csv"), 2, "nowhere/scans.csv")
    expect_refusal(run("report", "1", "--output", "nowhere/report.html"), 2, "nowhere/report.html")


def test_a_worker_names_the_file_that_it_cannot_use(run: Run, process: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody may write to /proc, not even root, and these tests may run as root.
    settings = {"PHOTOCHROM_SCRATCH_FOLDER": "/proc", "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "1"}
    expect_refusal(process("worker", **settings), 2, "/proc/photochrom-scratch-")

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    expect_refusal(run("worker"), 2, "/nowhere/python")


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_a_machine_without_room_for_temporary_files(process: Run, command: str) -> None:
    unmeasured = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}  # coverage would complain too
    expect_refusal(process(command, prefix=["prlimit", "--fsize=0"], **unmeasured), 2, "'/tmp'", "TMPDIR")


def test_what_writes_no_temporary_file_needs_no_room_for_any(process: Run, tmp_path: Path) -> None:
    """The pod that migrates the job database has a read-only root file system, so it has no temporary files."""
    ran = process("settings", prefix=["prlimit", "--fsize=0"], PHOTOCHROM_SCRATCH_FOLDER=str(tmp_path))

    assert ran.returncode == 0, ran.stderr


def test_invalid_arguments_are_refused(run: Run) -> None:
    expect_refusal(run("submit"), 2, "SOURCE")
    expect_refusal(run("status", "seven"), 2, "JOB is 'seven'", "the number of a job")
    expect_refusal(run("colourise"), 2, "colourise")


def test_python_files_in_the_current_folder_are_not_run(process: Run, tmp_path: Path) -> None:
    for name in ("worker", "scheduler", "db"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module was run')")

    refused = process("worker", PHOTOCHROM_CHECKPOINT=str(tmp_path / "none"))

    expect_refusal(refused, 2, "none")


def test_urls_that_are_none(run: Run, process: Run) -> None:
    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=f"mysql://u:{SECRET}@h/d"), 2, "mysql", "postgresql://")
    expect_refusal(process("scheduler", PHOTOCHROM_BROKER_URL=f"kafka://:{SECRET}@h"), 2, "kafka", "redis://")


def test_a_database_url_that_can_not_be_read_is_not_repeated(run: Run) -> None:
    at, port = f"postgresql://clerk:a@{SECRET}@127.0.0.1:9/p", f"postgresql://clerk:{SECRET}@127.0.0.1:port/p"

    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=at), 2, "an @ in its user or password", "%40")
    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=port), 2, "a port that is not a number", "postgresql://")


def test_a_server_named_in_the_query_of_a_url_is_shown(run: Run) -> None:
    url = f"postgresql:///photochrom?host=127.0.0.1&port=9&password={SECRET}"

    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=url), 3, "127.0.0.1", "port 9")


def test_a_closed_pipe_does_not_look_like_failed_scans(run: Run, scans: Path, tmp_path: Path, database: str) -> None:
    run("submit", scans, tmp_path / "out")

    for command in ("scans 1", "scans 1 --json"):
        closed = subprocess.run(
            ["bash", "-c", f"{sys.executable} -P -m scheduler {command} | true; exit ${{PIPESTATUS[0]}}"],
            env=clean_environment(PHOTOCHROM_DATABASE_URL=database),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert (closed.returncode, closed.stderr) == (141, "")


def test_a_key_that_the_terminal_cannot_show_is_escaped(run: Run, process: Run, scans: Path, tmp_path: Path) -> None:
    (scans / "Köln.jpg").write_bytes(b"never opened")
    run("submit", scans, tmp_path / "out")

    shown = process("scans", "1", PYTHONIOENCODING="ascii")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert r"K\xf6ln.jpg" in shown.stdout


def test_a_setting_that_is_out_of_range(run: Run) -> None:
    expect_refusal(run("status", PHOTOCHROM_BATCH_SIZE="zero"), 2, "PHOTOCHROM_BATCH_SIZE is 'zero'", "a whole number")
    expect_refusal(run("status", PHOTOCHROM_LEASE_SECONDS="1"), 2, "three times record_seconds")


def test_a_job_that_is_not_there(run: Run) -> None:
    for command in ("status", "scans", "pause", "cancel", "retry", "report"):
        expect_refusal(run(command, "7"), 2, "job 7")


def test_a_missing_and_a_damaged_checkpoint(process: Run, tmp_path: Path) -> None:
    expect_refusal(process("worker", PHOTOCHROM_CHECKPOINT=str(tmp_path / "none")), 2, "none")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "card.json").write_text("{")
    expect_refusal(process("worker", PHOTOCHROM_CHECKPOINT=str(tmp_path / "damaged")), 2, "card.json")


def test_a_job_that_cannot_be_resumed(run: Run, scans: Path, tmp_path: Path) -> None:
    run("submit", scans, tmp_path / "out")

    expect_refusal(run("resume", "1"), 2, "job 1 is running")


def test_run_works_on_folders_alone(run: Run, scans: Path, tmp_path: Path) -> None:
    expect_refusal(run("run", scans, "s3://bucket/out"), 2, "s3://bucket/out", "is not a folder")
    expect_refusal(run("run", scans, "ftp://x/y"), 2, "ftp://x/y")
    expect_refusal(run("run", "", "out"), 2, "''")
    assert [path for path in tmp_path.iterdir() if not path.name.startswith("jobs.db")] == [scans]


def test_run_leaves_nothing_behind_where_there_is_nothing_to_do_or_no_model(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    expect_refusal(run("run", "empty", "out"), 2, "holds nothing")
    expect_refusal(run("run", scans, "out", PHOTOCHROM_CHECKPOINT="none"), 2, "none is not a folder")
    expect_refusal(run("run", scans, "out", PHOTOCHROM_EMBEDDING="none"), 2, "'none' is neither a name nor a file")
    assert not (tmp_path / "out").exists()


def test_run_refuses_an_output_path_that_is_not_a_folder(run: Run, scans: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    expect_refusal(run("run", scans, "file/out"), 2, "file/out")
    expect_refusal(run("submit", scans, "file/out"), 2, "file/out")


def test_settings_that_are_too_large(run: Run) -> None:
    expect_refusal(run("status", PHOTOCHROM_LEASE_SECONDS="inf"), 2, "PHOTOCHROM_LEASE_SECONDS")


def test_broker_urls_that_are_none(process: Run) -> None:
    for url in ("", "http://broker", "redis://broker:port/0", "redis://broker/database", "sentinel://broker"):
        for command in ("worker", "scheduler"):
            expect_refusal(process(command, PHOTOCHROM_BROKER_URL=url), 2, "PHOTOCHROM_BROKER_URL")


def test_a_file_that_is_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear sir, " * 100)

    expect_refusal(run("status", PHOTOCHROM_DATABASE_URL=f"sqlite:///{tmp_path}/letter.db"), 2, "is not a database")
    expect_refusal(run("db", "upgrade", PHOTOCHROM_DATABASE_URL="sqlite://"), 2, "names no file")


@pytest.mark.parametrize("revision", [(), ("-1",), ("0012",)])
def test_a_downgrade_is_refused_with_the_way_back(run: Run, revision: tuple[str, ...]) -> None:
    expect_refusal(run("db", "downgrade", *revision), 2, "there is no downgrade", "restore the dump")
