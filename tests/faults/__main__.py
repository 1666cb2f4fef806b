"""`make faults`: run every fault over many scans, in a world of its own, and print what was measured. Takes a while."""

import argparse
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.conftest import service_folder
from tests.faults import control, databases, freezing, killing, messages, one_destination, outages, stopping
from tests.faults.collection import Collection
from tests.faults.world import World
from tests.services import PostgreSQLServer

SCENARIOS: dict[str, Callable[[World], str]] = {
    "kill -9 of a worker, 20 times": lambda world: killing.workers_killed(world, 20),
    "kill -9 of the scheduler, twice": lambda world: killing.schedulers_killed(world, 2),
    "broker stopped and emptied, three times": lambda world: outages.broker_lost(world, 3),
    "database away for 30 s, connections cut": lambda world: outages.database_away(world, 30),
    "database read-only for a minute": lambda world: databases.read_only(world, 60),
    "failover to a standby": databases.failover,
    "clock of the database set ahead": lambda world: databases.clock_ahead(world, 5),
    "PgBouncer in transaction mode": databases.pooled,
    "two jobs on one destination, with kills": lambda world: one_destination.two_jobs(world, 3),
    "20 % of S3 calls fail": lambda world: outages.s3_spoiled(world, 0.2),
    "messages three times, a lease lost": messages.messages_repeated,
    "SIGTERM to a busy worker": stopping.worker_told_to_stop,
    "scans that kill": killing.scans_that_kill,
    "kill -9 of the model server, 10 times": lambda world: killing.model_servers_killed(world, 10),
    "children frozen beyond their lease": freezing.children_frozen,
    "credentials withdrawn": outages.credentials_withdrawn,
    "disk full at the destination": lambda world: on_a_small_disk(world),
    "an urgent job behind a long queue": control.urgent_job_first,
    "two jobs of equal priority": control.equal_jobs_share,
    "pause, resume, priority, cancel": control.control_is_quick,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break a running system on purpose.")
    parser.add_argument("--scans", type=int, default=500, help="scans of each scenario")
    parser.add_argument(
        "--only", default="", help="only scenarios whose name has this, or any of these with commas between, in it"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--logs", type=Path, help="a folder for the processes' logs")
    asked = parser.parse_args()
    # On SIGTERM too, the disk is unmounted and the services are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failures = 0
    with ExitStack() as services:
        folders = [services.enter_context(service_folder()) for _ in range(4)]
        valkey, s3 = ValkeyServer(folders[0]), S3Server(folders[1])
        postgresql = PostgreSQLServer(folders[2])
        for service in (valkey, s3, postgresql):
            services.enter_context(service)
        for number, (name, scenario) in enumerate(SCENARIOS.items()):
            if not any(only in name for only in asked.only.split(",")):
                continue
            folder = (asked.logs or folders[3]) / f"{number}"
            folder.mkdir(parents=True)
            collection = Collection.make(asked.scans, poisoned=name == "scans that kill")
            began = time.monotonic()
            try:
                with World(collection, folder, valkey=valkey, s3=s3, postgresql=postgresql, seed=asked.seed) as world:
                    said = scenario(world)
            except Exception:
                traceback.print_exc()
                failures, said = failures + 1, "FAILED"
            print(f"{name:42} {len(collection.scans):5} scans {time.monotonic() - began:6.1f} s  {said}", flush=True)
    return 1 if failures else 0


def on_a_small_disk(world: World) -> str:
    """Run the test of a full disk on a small disk. It mounts that disk, so it must run as root."""
    with small_disk(world.folder / "small-disk") as disk:
        world.destination = str(disk / "out")
        filler = disk / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    pass

        return outages.disk_full(world, fill, filler.unlink)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 64 MB. Raises CalledProcessError if the user may not mount one."""
    folder.mkdir()
    mount, umount = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=False)


if __name__ == "__main__":
    sys.exit(main())
