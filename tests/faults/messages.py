"""Messages that are delivered several times, and a lease that is lost while its holder is running."""

import threading
import time

import psutil
from sqlalchemy import select

from db.models.jobs import Chunk, ChunkState
from db.queries.chunks.claims import ChunkMessage
from db.session import IDLE_WRITE_SECONDS, read_scope
from tests.faults.outcome import MOST_DEVICE_WORK, check, device_work
from tests.faults.world import World
from worker.broker.app_factory import make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings


def messages_repeated(world: World) -> str:
    """Each message is delivered three times, old ones too, in any order. One lease is lost while its
    holder is running.
    """
    world.submit()
    queue = ChunkQueue(make_app(Settings(broker_url=world.valkey.url, queue=world.name)))
    sent: list[tuple[int, int]] = []
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(0.1):
            with read_scope(world.engine) as session:
                queued = session.execute(select(Chunk.id, Chunk.attempt).where(Chunk.state == ChunkState.QUEUED)).all()
            new = [(row[0], row[1]) for row in queued if (row[0], row[1]) not in sent]
            sent.extend(new)
            again = new * 2 + world.random.sample(sent, min(len(sent), 3))
            world.random.shuffle(again)
            queue.publish([ChunkMessage(*message) for message in again])

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        world.start("scheduler", "worker-1", "worker-2")
        world.wait_for(world.progress().total // 4)
        _freeze_a_holder(world)
        world.wait_until_completed()
    finally:
        stop.set()
        thread.join()
    check(world)
    assert device_work(world) <= MOST_DEVICE_WORK
    return f"{len(sent)} messages three times and more, one lease lost; device work {device_work(world):.2f}"


def _freeze_a_holder(world: World) -> None:
    """Suspend a child that holds a chunk until its lease is lost, and then resume it."""
    frozen: list[tuple[psutil.Process, int]] = []

    def froze_one() -> bool:
        with read_scope(world.engine) as session:
            held = session.execute(select(Chunk.id, Chunk.worker).where(Chunk.worker.is_not(None))).all()
        for chunk_id, holder in held:
            child = psutil.Process(int(str(holder).rpartition("/")[2]))
            child.suspend()
            with read_scope(world.engine) as session:
                # The child may have ended the chunk just before.
                still = session.scalar(select(Chunk.worker).where(Chunk.id == chunk_id)) == holder
            if still:
                frozen.append((child, chunk_id))
                return True
            child.resume()
        return False

    world.wait(froze_one, 30)
    [(child, chunk_id)] = frozen
    try:
        # A child that is frozen in the middle of a write holds the chunk's row until the database ends its transaction.
        world.wait(lambda: _lost_leases(world, chunk_id) > 0, IDLE_WRITE_SECONDS + 30)
        time.sleep(1)  # by now, another child has the chunk
    finally:
        child.resume()


def _lost_leases(world: World, chunk_id: int) -> int:
    with read_scope(world.engine) as session:
        return session.scalar(select(Chunk.lost_leases).where(Chunk.id == chunk_id)) or 0
