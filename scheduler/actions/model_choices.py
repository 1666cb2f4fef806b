"""The checkpoints, heads and embeddings from which a person may choose: of running workers, and of this machine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from scheduler.submission.checkpoints import own_card, own_checkpoint, running_checkpoints
from scheduler.submission.request import Submission
from scheduler.text import nearest
from worker.errors import CheckpointError, UsageError
from worker.inference.colour_options import HEADS
from worker.model.checkpoint import IMAGENET, Card, bundled_cards, present_embedding_name
from worker.settings.settings import Settings

_EMBEDDING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ModelChoices:
    """What a form offers."""

    checkpoints: Sequence[str]  # of running workers
    heads: Sequence[str]
    embeddings: Sequence[str]


def offered(session: Session, settings: Settings) -> ModelChoices:
    """What the running workers have. If none runs, the heads and embeddings are those of this machine's checkpoint."""
    running = running_checkpoints(session, settings)
    card = _own_card(settings)
    cards = [_card(id, card) for id in running] or [card]
    read_cards = [card for card in cards if card is not None]
    heads = _each_once(card.heads for card in read_cards) if len(read_cards) == len(cards) else HEADS
    return ModelChoices(running, heads or HEADS, _each_once(card.embeddings for card in read_cards))


def expect_submission(session: Session, settings: Settings, submission: Submission) -> None:
    """Raises UsageError as `expect_available`, also for the heads that a sample tries."""
    heads = submission.sample.heads if submission.sample else ()
    for head in dict.fromkeys([submission.head, *heads]):
        expect_available(session, settings, {"head": head, "embedding": submission.embedding})


def expect_available(
    session: Session, settings: Settings, choice: Mapping[str, Any], *, job_options: Mapping[str, Any] | None = None
) -> None:
    """Raises UsageError for a checkpoint, head or embedding that neither a running worker nor this machine has.

    choice: checkpoint, head and embedding; a missing one or None is as before. `job_options`: of the job whose outputs
    are made again.
    """
    running, machine_card = running_checkpoints(session, settings), _own_card(settings)
    if checkpoint := choice.get("checkpoint"):
        machine_ids = [own_checkpoint(settings), *machine_card.variants()] if machine_card else []
        _expect("checkpoint", checkpoint, [*running, *machine_ids])
    checkpoint = checkpoint or (job_options or {}).get("checkpoint")
    ids = [checkpoint] if checkpoint else running
    cards = {id: _card(id, machine_card) for id in ids}
    other_ids = [id for id, card in cards.items() if card is None]
    read_cards = [card for card in (*cards.values(), None if checkpoint else machine_card) if card is not None]
    if head := choice.get("head"):
        _expect("head", head, _each_once(card.heads for card in read_cards) if read_cards and not other_ids else HEADS)
    if settings.stand_in_model_milliseconds is not None and not checkpoint:
        return
    if embedding := choice.get("embedding"):
        # Only its worker knows what is in a checkpoint that was chosen and that this machine does not have.
        names = None if checkpoint and other_ids else _embeddings(read_cards, other_ids)
        _expect_embedding(embedding, names)


def _embeddings(read_cards: Sequence[Card], other_ids: Iterable[str]) -> list[str] | None:
    """The embeddings of the known checkpoints, and those that running workers with other checkpoints can have as far as
    this machine can know: the bundled ones, and the ones that are part of their ids. None: nothing is known here.
    """
    cards = [*read_cards, *(bundled_cards() if other_ids or not read_cards else ())]
    if not cards:
        return None
    endings = [id.split("-")[1:] for id in other_ids]
    # `embedding` stands in an id before the fingerprint of an embedding that is not in the card.
    named = [[part for part in parts if part not in HEADS] for parts in endings if "embedding" not in parts]
    return [*_each_once([*(card.embeddings for card in cards), *named]), IMAGENET]


def _expect_embedding(embedding: str, names: Iterable[str] | None) -> None:
    """`names`: None for an embedding of a checkpoint that this machine does not have; any possible name will do."""
    if names is not None:
        _expect("embedding", embedding, names, written=present_embedding_name(embedding))
    elif not _EMBEDDING_NAME.fullmatch(embedding):
        raise UsageError(
            f"the embedding {embedding!r} is not a name; expected at most 64 letters, digits, '_', '.' and '-', such "
            f"as {IMAGENET}"
        )


def _expect(name: str, value: str, choices: Iterable[str], *, written: str | None = None) -> None:
    """`written`: the value under its present name."""
    names = list(dict.fromkeys(choices))
    if names and (written or value) not in names:
        raise UsageError(
            f"the {name} {value!r}: neither a running worker nor this machine has it; "
            f"{nearest(value, names)}expected one of {', '.join(names)}"
        )


def _own_card(settings: Settings) -> Card | None:
    """None on a machine without the checkpoint in its settings, such as one that only serves pages."""
    try:
        return own_card(settings)
    except (CheckpointError, OSError):
        return None


def _card(checkpoint: str, machine_card: Card | None) -> Card | None:
    """The card of the checkpoint with this id; None if this machine does not have it."""
    files = checkpoint.partition("-")[0]
    if machine_card is not None and machine_card.id == files:
        return machine_card
    return next((card for card in bundled_cards() if card.id == files), None)


def _each_once(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))
