"""The checkpoints of the workers in use."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import product
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries.pool import workers
from db.session import read_scope
from worker.errors import UsageError
from worker.model.checkpoint import IMAGENET, STAND_IN, Card, present_embedding_name, read_card
from worker.settings.settings import Settings


def checkpoints_in_use(
    engine: Engine, settings: Settings, *, head: str | None = None, embedding: str | None = None
) -> list[str]:
    """The checkpoint ids that workers would record now for scans of a job with this head and embedding.

    They are those of the running workers. If no worker runs, it is the checkpoint in this machine's settings, or that
    of the last worker.
    """
    card = own_card(settings)
    with read_scope(engine) as session:
        ids, last = running_checkpoints(session, settings), workers.last_heard(session)
    if not ids and settings.checkpoint is None and last is not None and last.checkpoint:
        ids = [last.checkpoint]
    if not ids:
        return [own_checkpoint(settings, head=head, embedding=embedding)]
    return sorted({variant for id in ids for variant in _variants(card, id, head, embedding)})


def running_checkpoints(session: Session, settings: Settings) -> list[str]:
    """The ids of the checkpoints of workers that have sent a heartbeat recently and have not stopped."""
    heard_after = database_now(session) - timedelta(seconds=settings.silent_seconds)
    return workers.checkpoints(session, heard_after=heard_after)


def _variants(card: Card, id: str, head: str | None, embedding: str | None) -> list[str]:
    """The ids that a worker with the checkpoint `id` records for a job with this head and embedding."""
    if head is None and embedding is None:
        return [id]
    if id in card.variants():
        worker_head, worker_embedding = card.variants()[id]
        return [card.variant(head or worker_head, embedding or worker_embedding, str)]
    # This machine does not have the checkpoint, so its default head and embedding are unknown here.
    base = id.partition("-")[0]
    endings = product({"", f"-{head}"} if head else {""}, {"", f"-{embedding}"} if embedding else {""})
    return [base + "".join(ending) for ending in endings]


def own_checkpoint(settings: Settings, *, head: str | None = None, embedding: str | None = None) -> str:
    """The id that a worker with these settings records for a job with this head and embedding.

    Raises CheckpointError.
    """
    if settings.stand_in_model_milliseconds is not None:
        return STAND_IN + (f"-{head}" if head else "")
    card = own_card(settings)
    name = present_embedding_name(embedding or settings.embedding or card.embedding)
    # The id contains the digest of a weights file, which only the model server computes.
    return card.variant(head or settings.head or card.head, name, str)


def own_card(settings: Settings) -> Card:
    """The card of the checkpoint that a worker with these settings would use. Raises CheckpointError."""
    return read_card(settings.checkpoint_folder)


def redo_options(settings: Settings, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a redo. If a checkpoint's id includes a head and an embedding, they become separate options.

    So every worker that has the weight files can do the redo, whatever its own head and embedding are.
    """
    card = own_card(settings)
    variant = card.variants().get(changes.get("checkpoint", ""))
    if variant is None or settings.stand_in_model_milliseconds is not None:
        return dict(changes)
    head, embedding = variant
    return {"head": head, "embedding": embedding, **changes, "checkpoint": card.id}


def check_colours(settings: Settings, *, head: str | None, embedding: str | None) -> None:
    """Raises UsageError for a head or an embedding that this machine's checkpoint does not have."""
    if settings.stand_in_model_milliseconds is not None:
        return
    card = own_card(settings)
    if head is not None and head not in card.heads:
        heads = ", ".join(card.heads)
        raise UsageError(f"--head {head}: the checkpoint {card.id} has no such head; expected one of {heads}")
    if embedding is not None and present_embedding_name(embedding) not in (*card.embeddings, IMAGENET):
        names = ", ".join((*card.embeddings, IMAGENET))
        raise UsageError(
            f"--embedding {embedding}: the checkpoint {card.id} has no such embedding; expected one of {names}"
        )
