"""A job's head and embedding decide which checkpoint is recorded for its scans."""

import pytest

from scheduler.submission.checkpoints import own_card, own_checkpoint
from worker.settings.settings import Settings


def settings(**values: str) -> Settings:
    return Settings(database_url="sqlite:///jobs.db", **values)


CARD = own_card(settings())
OTHER_HEAD = next(head for head in CARD.heads if head != CARD.head)


@pytest.mark.parametrize(
    ("values", "options", "id"),
    [
        ({}, {}, CARD.id),
        ({"head": OTHER_HEAD}, {}, f"{CARD.id}-{OTHER_HEAD}"),
        ({}, {"head": OTHER_HEAD}, f"{CARD.id}-{OTHER_HEAD}"),
        ({"head": OTHER_HEAD}, {"head": CARD.head}, CARD.id),
        ({}, {"embedding": CARD.embedding}, CARD.id),
    ],
)
def test_the_job_s_head_and_embedding_come_before_the_worker_s(
    values: dict[str, str], options: dict[str, str], id: str
) -> None:
    assert own_checkpoint(settings(**values), **options) == id
