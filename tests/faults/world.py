"""A whole system to break: its services, its processes, and a job that it works on."""

import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select, text

from db.clock import database_now
from db.migrations import upgrade
from db.models.jobs import Chunk, ChunkState, Scan
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress
from db.session import make_engine, read_scope, session_scope
from scheduler.standalone.services import S3Server, ValkeyServer
from scheduler.submission.submitter import Submission, Submitter
from tests.acceptance.command import clean_environment
from tests.faults.collection import Collection
from tests.faults.processes import Processes
from tests.services import PostgreSQLServer
from worker.storage import S3Options

HOOK = Path(__file__).parent / "hook"
# Logs every write of the state `done`, even one that changes nothing.
COUNT_DONE = """
CREATE TABLE done_log (scan_id bigint);
CREATE FUNCTION log_done() RETURNS trigger AS
  'BEGIN INSERT INTO done_log VALUES (NEW.id); RETURN NEW; END' LANGUAGE plpgsql;
CREATE TRIGGER log_done AFTER UPDATE OF state ON scan FOR EACH ROW WHEN (NEW.state = 'done')
  EXECUTE FUNCTION log_done();
"""
# Logs when each chunk came into which state.
_LOG_STATES = """
CREATE TABLE state_log (at timestamptz, job_id bigint, chunk_id bigint, was text, state text, worker text);
CREATE FUNCTION log_chunk() RETURNS trigger AS
  'BEGIN INSERT INTO state_log VALUES (clock_timestamp(), NEW.job_id, NEW.id, OLD.state, NEW.state, NEW.worker);
   RETURN NEW; END' LANGUAGE plpgsql;
CREATE TRIGGER log_chunk AFTER UPDATE OF state ON chunk FOR EACH ROW WHEN (NEW.state <> OLD.state)
  EXECUTE FUNCTION log_chunk();
"""


class Change(NamedTuple):
    at: datetime
    job_id: int
    chunk_id: int
    was: str
    state: str
    worker: str | None  # that has it now


class World(Processes):
    """One job over `collection`, and the processes that work on it. A context manager: it ends what it started."""

    def __init__(
        self,
        collection: Collection,
        folder: Path,
        *,
        valkey: ValkeyServer,
        s3: S3Server,
        postgresql: PostgreSQLServer,
        seed: int = 1,
        **settings: str,
    ) -> None:
        super().__init__(folder)
        self.collection = collection
        self.valkey, self.s3, self.postgresql = valkey, s3, postgresql
        self.random = random.Random(seed)
        self.name = f"faults-{uuid.uuid4().hex[:10]}"
        self.destination = f"s3://{self.name}/out"  # or a folder
        self.job_id = 0
        self._database = postgresql.url(self.name)
        self._settings = settings
        self._s3_environment = s3.environment()

    def __enter__(self) -> "World":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.valkey.start()
        self.postgresql.start()
        self.postgresql.create_database(self.name)
        self.use_database(self._database)
        self.s3.client().create_bucket(Bucket=self.name)
        self.collection.put(self.s3.client(), self.name, "in")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        self.engine.dispose()
        self.postgresql.start()
        self.postgresql.drop_database(self.name)

    def use_database(self, url: str) -> None:
        """Use this empty database from now on."""
        self._database = url
        self.engine = make_engine(f"{url}{'&' if '?' in url else '?'}application_name=faults")
        upgrade(self.engine)
        with session_scope(self.engine) as session:
            session.execute(text(COUNT_DONE))
            session.execute(text(_LOG_STATES))

    def go_on_with(self, url: str) -> None:
        """Use this database, a copy of the one before, from now on."""
        self._database = url
        self.engine.dispose()
        self.engine = make_engine(url)

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(HOOK), os.environ.get("PYTHONPATH")]))
        return clean_environment(
            **{
                **self._s3_environment,
                "PYTHONPATH": path,
                "DEVICE_LOG": str(self.folder / "device.log"),
                "PHOTOCHROM_BROKER_URL": self.valkey.url,
                "PHOTOCHROM_DATABASE_URL": self._database,
                "PHOTOCHROM_QUEUE": self.name,
                # The workers must end with the test, however it is stopped.
                "PHOTOCHROM_PARENT_PID": str(os.getpid()),
                "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "40",
                "PHOTOCHROM_BATCH_SIZE": "4",
                "PHOTOCHROM_CHUNK_SCANS": "8",
                "PHOTOCHROM_CHILDREN": "1",
                "PHOTOCHROM_THREADS_PER_CHILD": "4",
                "PHOTOCHROM_RECORD_SECONDS": "0.5",
                "PHOTOCHROM_LEASE_SECONDS": "6",
                "PHOTOCHROM_HEARTBEAT_SECONDS": "1",
                "PHOTOCHROM_SCHEDULER_ROUND_SECONDS": "0.2",
                "PHOTOCHROM_RESEND_SECONDS": "3",
                "PHOTOCHROM_RETRY_PAUSE_SECONDS": "0.5",
                "PHOTOCHROM_LONGEST_RETRY_PAUSE_SECONDS": "4",
                "PHOTOCHROM_SCRATCH_FOLDER": str(self.folder),
                **self._settings,
            }
        )

    def change(self, **settings: str) -> None:
        """Change the settings of processes that are started from now on."""
        self._settings.update(settings)

    def submit(self, chunk_scans: int = 8) -> None:
        self.job_id = self.submit_also(self.destination, chunk_scans=chunk_scans)

    def submit_also(self, destination: str, *, chunk_scans: int = 8, source: str = "in", **options: Any) -> int:
        """Submit one more job over the same scans, with options of a Submission, and return its number."""
        os.environ.update(self._s3_environment)
        s3 = S3Options(endpoint_url=self.s3.endpoint_url, attempts=3, timeout_seconds=10)
        submitter = Submitter(self.engine, s3=s3, chunk_scans=chunk_scans, checkpoints=list)
        asked = Submission(f"s3://{self.name}/{source}", destination, **options)
        return submitter.submit(asked).job_id or 0

    def changes(self) -> list[Change]:
        """Every change of a chunk's state, in order."""
        with read_scope(self.engine) as session:
            return [Change(*row) for row in session.execute(text("SELECT * FROM state_log ORDER BY at")).all()]

    def ended(self, job_id: int) -> bool:
        with read_scope(self.engine) as session:
            return lifecycle.progress(session, job_id).ended

    def out(self, job_id: int) -> int:
        """The number of the job's chunks that workers hold."""
        with read_scope(self.engine) as session:
            leased = (Chunk.job_id == job_id, Chunk.state == ChunkState.LEASED)
            return len(session.scalars(select(Chunk.id).where(*leased)).all())

    def queued(self) -> set[int]:
        """Jobs that have chunks with the broker."""
        with read_scope(self.engine) as session:
            return set(session.scalars(select(Chunk.job_id).where(Chunk.state == ChunkState.QUEUED)))

    def now(self) -> datetime:
        with read_scope(self.engine) as session:
            return database_now(session)

    def stored_at(self) -> dict[str, datetime]:
        """The time at which each output was stored last, by key."""
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix="out/box")
        return {entry["Key"]: entry["LastModified"] for page in pages for entry in page.get("Contents", [])}

    def progress(self) -> Progress:
        with read_scope(self.engine) as session:
            return lifecycle.progress(session, self.job_id)

    def moments(self, times: int) -> Iterator[None]:
        """Yields this many random moments during the job. Raises AssertionError if the job ends before the last one."""
        for number in range(times):
            self.wait_for((number + 1) * self.progress().total // (times + 2))
            time.sleep(self.random.uniform(0, 0.5))
            assert not self.progress().ended, f"the job was over before moment {number + 1} of {times}"
            yield

    def wait(self, what: Callable[[], bool], seconds: float, *, every: float = 0.1) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {self.state()}"
            time.sleep(every)

    def wait_for(self, ended: int, seconds: float = 120) -> None:
        """Wait until this many scans have ended."""
        self.wait(lambda: self.progress().total - self.progress().pending >= ended, seconds)

    def wait_until_completed(self, seconds: float = 300) -> None:
        self.wait(lambda: self.progress().ended, seconds, every=0.3)

    def state(self) -> str:
        progress = self.progress()
        with read_scope(self.engine) as session:
            found = Counter(session.scalars(select(Chunk.state)))
            error = session.scalar(select(Scan.error_message).where(Scan.error_message.is_not(None)).limit(1))
        return f"{progress.done} done, {progress.failed} failed of {progress.total}; chunks {dict(found)}; {error}"
