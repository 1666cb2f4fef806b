"""`python -m tests.bench.viewers`: compare a pool's pace while fifty people look at pages with its pace without them.

A real worker colours small scans, with the bundled checkpoint; scheduler, PostgreSQL, Valkey and `photochrom web` run
on the same machine. Every viewer opens a page each five seconds, with the pictures that a browser would load: half of
them go through the grid, half review. Periods with and without viewers take turns. Exits 1 if the pace with viewers
is below 0.97 of the pace without them. With `--own-cores` the worker has all cores but one, and everything else the
last one, as if the pages ran on another machine.
"""

import argparse
import asyncio
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from sqlalchemy import Engine, func, select

from db.migrations import upgrade
from db.models.jobs import Scan
from db.session import make_engine, read_scope
from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import clean_environment, photochrom
from tests.conftest import service_folder
from tests.integration.web.conftest import write_picture
from tests.services import PostgreSQLServer
from worker.system.process_limits import lower_priority

MUST = 0.97
PAUSE_SECONDS, GRID_PICTURES = (
    5.0,
    12,
)  # a browser loads the visible pictures, and each other one when the viewer scrolls to it
SETTLE_SECONDS = 6.0
START_SECONDS, FIRST_SCANS = 300.0, 48
_PICTURE = re.compile(r'src="(/jobs/[^"]+\.jpg[^"]*)"')
_SCAN = re.compile(r'href="/jobs/1/scans/(\d+)')


async def view(client: httpx.AsyncClient, number: int, seconds_taken: list[float]) -> None:
    """Act as one person until cancelled. A picture that the person has seen comes from the browser's cache."""
    dice, cache = random.Random(number), set[str]()
    await asyncio.sleep(dice.random() * PAUSE_SECONDS)
    scans: list[str] = []
    while True:
        began = time.monotonic()
        if number % 2 and scans:
            page = (await client.get(f"/jobs/1/review/{dice.choice(scans)}")).text
            pictures = _PICTURE.findall(page)[:2]
        else:
            order = dice.choice(("listing", "doubtful", "colourful", "pale", "key"))
            page = (await client.get("/jobs/1", params={"state": "done", "order": order})).text
            scans, pictures = _SCAN.findall(page) or scans, _PICTURE.findall(page)[:GRID_PICTURES]
        for address in pictures:
            if address not in cache:
                (await client.get(address.replace("&amp;", "&"))).raise_for_status()
                cache.add(address)
        seconds_taken.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, PAUSE_SECONDS - seconds_taken[-1]))


async def look(address: str, count: int, seconds: float) -> None:
    lower_priority(10)  # real viewers use other machines
    seconds_taken: list[float] = []
    limits = httpx.Limits(max_connections=6 * count)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        print("looking", flush=True)
        viewers = [asyncio.create_task(view(client, number, seconds_taken)) for number in range(count)]
        await asyncio.wait(viewers, timeout=seconds)
        faults = [viewer.exception() for viewer in viewers if viewer.done()]
        for viewer in viewers:
            viewer.cancel()
    if faults:
        raise SystemExit(f"{len(faults)} viewers met a fault: {faults[0]!r}")
    median = statistics.median(seconds_taken) if seconds_taken else 0.0
    print(f"    {len(seconds_taken)} pages, median {median:.2f} s with their pictures", flush=True)


def count_done(engine: Engine) -> int:
    with read_scope(engine) as session:
        return session.scalar(select(func.count()).select_from(Scan).where(Scan.state == "done")) or 0


def pace(engine: Engine, seconds: float) -> float:
    time.sleep(SETTLE_SECONDS)
    began, before = time.monotonic(), count_done(engine)
    time.sleep(seconds)
    return (count_done(engine) - before) / (time.monotonic() - began)


def measure(engine: Engine, address: str, arguments: argparse.Namespace) -> float:
    """The pace with viewers, divided by the pace without them."""
    alone, watched = [], []
    for turn in range(arguments.turns):
        alone.append(pace(engine, arguments.seconds))
        print(f"turn {turn + 1}: alone {alone[-1]:.2f} scans/s", flush=True)
        seconds = arguments.seconds + SETTLE_SECONDS + 1
        looking = [sys.executable, "-W", "ignore", "-m", "tests.bench.viewers", "--look", address]
        numbers = ["--viewers", str(arguments.viewers), "--seconds", str(seconds)]
        with subprocess.Popen(
            [*looking, *numbers], stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as viewers:
            assert viewers.stdout is not None
            assert viewers.stdout.readline() == "looking\n"
            watched.append(pace(engine, arguments.seconds))
            print(viewers.stdout.read(), end="", flush=True)
            assert viewers.wait(120) == 0
        print(f"turn {turn + 1}: watched {watched[-1]:.2f} scans/s", flush=True)
    return sum(watched) / sum(alone)


@contextmanager
def system(folder: Path, arguments: argparse.Namespace) -> Iterator[tuple[Engine, str]]:
    """A pool at work, and the address of its pages."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        if arguments.own_cores:
            os.sched_setaffinity(0, {max(cores)})
        database = stack.enter_context(PostgreSQLServer(Path(stack.enter_context(service_folder()))))
        valkey = stack.enter_context(ValkeyServer(Path(stack.enter_context(service_folder()))))
        database.create_database("viewers")
        engine = make_engine(database.url("viewers"))
        upgrade(engine)
        make_scans(folder / "scans", arguments.scans, arguments.side)
        settings = {"PHOTOCHROM_DATABASE_URL": database.url("viewers"), "PHOTOCHROM_BROKER_URL": valkey.url,
                    "PHOTOCHROM_WEB_PORT": "0", "PHOTOCHROM_CHUNK_SCANS": "8",
                    "PHOTOCHROM_RECORD_SECONDS": "0.5"}  # fmt: skip
        if arguments.stand_in_ms is not None:
            settings["PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS"] = arguments.stand_in_ms
        submitted = photochrom("submit", folder / "scans", folder / "colour", folder=folder, **settings)
        assert submitted.returncode == 0, submitted.stderr
        log = stack.enter_context((folder / "log").open("w"))
        for name in ("scheduler", "worker", "web"):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler", name],
                cwd=folder,
                env=clean_environment(**settings),
                stdout=subprocess.PIPE if name == "web" else log,
                stderr=log,
                text=True,
                start_new_session=True,  # as systemd and a container start it
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            if arguments.own_cores and name == "worker":
                os.sched_setaffinity(process.pid, cores - {max(cores)})  # before its interpreter starts a thread
        assert process.stdout is not None
        address = process.stdout.readline().rpartition(" ")[2].strip()
        deadline = time.monotonic() + START_SECONDS
        while count_done(engine) < FIRST_SCANS:
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        yield engine, address


def make_scans(folder: Path, count: int, side: int) -> None:
    for number in range(16):
        write_picture(folder / f"box 0/{number:05}.jpg", number, bands=1, width=side, height=side)
    for number in range(16, count):
        path = folder / f"box {number // 100}/{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(folder / f"box 0/{number % 16:05}.jpg", path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.viewers", description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--scans", type=int, default=3_000)
    parser.add_argument("--side", type=int, default=800, help="pixels")
    parser.add_argument("--seconds", type=float, default=25.0, help="of each window")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--own-cores", action="store_true", help="the worker shares no core with the rest")
    parser.add_argument("--stand-in-ms", help="of a batch: a model that only waits, to try this out")
    parser.add_argument("--look", metavar="ADDRESS", help="only look at these pages")
    arguments = parser.parse_args()
    if arguments.look:
        asyncio.run(look(arguments.look, arguments.viewers, arguments.seconds))
        return 0
    with (
        service_folder() as folder,
        system(folder, arguments) as (
            engine,
            address,
        ),
    ):
        ratio = measure(engine, address, arguments)
    print(f"{arguments.viewers} viewers: the pool's pace is {ratio:.3f} of that without them; at least {MUST}")
    return 0 if ratio >= MUST else 1


if __name__ == "__main__":
    sys.exit(main())
