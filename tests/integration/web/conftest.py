"""A web application over a job with pictures: box/0.jpg to box/4.jpg are done, box/5.jpg has failed."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips
from sqlalchemy import Engine, event
from starlette.testclient import TestClient

from db.models.jobs import ScanState
from db.models.pool import Scheduler, Worker
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pool import workers
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import session_scope
from scheduler.web.app import create_app
from scheduler.web.auth import csrf
from scheduler.web.auth.identity import Identifier
from scheduler.web.context import Context
from scheduler.web.metrics import WebMetrics
from scheduler.web.pictures.service import Pictures
from tests.rows import NOON
from worker.observability.health import Health
from worker.settings.settings import Settings

SCANS = 6


@dataclass(frozen=True)
class Web:
    """The application, a browser at this machine, and where the job's files lie."""

    app: object
    context: Context
    metrics: WebMetrics
    source: Path
    destination: Path

    def browser(self, **headers: str) -> TestClient:
        client = TestClient(self.app, base_url="http://127.0.0.1", headers=headers)  # type: ignore[arg-type]
        client.cookies.set(csrf.BROWSER_COOKIE, "a-browser")
        return client


def form(**fields: object) -> dict[str, object]:
    """The fields that a form of `Web.browser` sends."""
    return {csrf.FIELD: csrf.token("a-browser"), **fields}


@pytest.fixture
def web(engine: Engine, tmp_path: Path) -> Iterator[Web]:
    source, destination = tmp_path / "scans", tmp_path / "colour"
    web = make_web(engine, tmp_path, source, destination)
    make_collection(engine, source, destination)
    yield web
    web.context.pictures.stop()


def make_web(engine: Engine, folder: Path, source: Path, destination: Path, **changes: object) -> Web:
    url = engine.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, **changes)  # type: ignore[arg-type]
    context = Context(engine, settings, Identifier(engine, settings), Pictures(settings, folder / "web"))
    metrics = WebMetrics()
    app = create_app(context, metrics)
    app.state.health = Health("it starts")
    app.state.health.turn("")
    return Web(app, context, metrics, source, destination)


def make_collection(engine: Engine, source: Path, destination: Path) -> int:
    """Make a completed job with its files. Returns its number."""
    listed = []
    for number in range(SCANS):
        key = f"box/{number}.jpg"
        write_picture(source / key, number, bands=1)
        write_picture(destination / key, number, bands=3)
        stat = (source / key).stat()
        listed.append(NewScan(key, None, stat.st_size, key))
    options = {"format": "source", "quality": 95}
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session,
            name="a box",
            source=str(source),
            destination=str(destination),
            options=options,
            priority=0,
            now=NOON,
            submitted_by="ada",
        )
        lifecycle.add_scans(session, job_id, listed, chunk_scans=64)
        lifecycle.start(session, job_id, other_count=0)
        workers.register(session, Worker(name="w", children=1, checkpoint="first", started_at=NOON, heartbeat_at=NOON))
        session.add(Scheduler(name="s", started_at=NOON, heartbeat_at=NOON))
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=NOON)
        claims.claim(session, message, worker="w/7", lease_seconds=60, now=NOON)
        pending = claims.pending_scans(session, message.chunk_id)
        records = [_record(scan.id, number, destination) for number, scan in enumerate(pending)]
        leases.record(session, message, records, lease_seconds=60, now=NOON)
        claims.release(session, message, not_before=None)
        lifecycle.complete_finished(session, now=NOON)
    return job_id


def _record(scan_id: int, number: int, destination: Path) -> ScanRecord:
    if number == SCANS - 1:
        sentence = "box/5.jpg ends after 1.2 of 4.0 MB; expected a whole JPEG"
        return ScanRecord(scan_id, ScanState.FAILED, 1, ScanMeasurements(), "w", NOON, "truncated", sentence)
    content = (destination / f"box/{number}.jpg").read_bytes()
    measured = ScanMeasurements(
        width=300,
        height=200,
        bit_depth=8,
        colourfulness=8.0 * number,  # the first two are nearly grey
        certainty=0.9 - 0.1 * number,
        output_sha256=hashlib.sha256(content).hexdigest(),
        output_bytes=len(content),
        checkpoint="first",
    )
    return ScanRecord(scan_id, ScanState.DONE, 1, measured, "w", NOON)


def write_picture(path: Path, seed: int, *, bands: int, width: int = 300, height: int = 200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb" if bands == 3 else "b-w")
    image.write_to_file(str(path))


@contextmanager
def away(engine: Engine) -> Iterator[None]:
    """While the block runs, nobody can connect to the database: a file that can't be opened, or a closed port."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    def lead_astray(_dialect: object, _record: object, arguments: list[str], parameters: dict[str, object]) -> None:
        if engine.dialect.name == "sqlite":
            arguments[0] = "/nowhere/photochrom.db"
        else:
            parameters.update(host="127.0.0.1", port=port)

    event.listen(engine, "do_connect", lead_astray)
    engine.dispose()
    yield
    event.remove(engine, "do_connect", lead_astray)
    engine.dispose()
