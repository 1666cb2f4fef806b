"""Checkpoints, heads and embeddings that nobody has are not offered; pages and API refuse them."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from db.clock import utc_now
from db.models.pool import Worker
from db.session import session_scope
from tests.integration.web.conftest import Web, form, write_picture
from tests.rows import run_worker
from worker.model.checkpoint import bundled_checkpoint_path, read_card

CARD = read_card(bundled_checkpoint_path())
VIVID = next(id for id, (head, _) in CARD.variants().items() if head == "vivid")


def offered(web: Web, name: str) -> list[str]:
    [options] = re.findall(rf'<select id="{name}".*?</select>', web.browser().get("/jobs/1/review/1").text, re.DOTALL)
    return re.findall('value="([^"]+)"', options)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (
            {"checkpoint": "dreamt"},
            f"the checkpoint 'dreamt': neither a running worker nor this machine has it; .*{VIVID}",
        ),
        ({"embedding": "dreamt"}, "the embedding 'dreamt': .*expected one of inception_resnet_v2, compact, imagenet"),
    ],
)
def test_a_redo_with_what_nobody_has_makes_no_job(web: Web, choice: dict[str, str], sentence: str) -> None:
    client = web.browser()

    over_api = client.post("/api/v1/jobs/1/redo", json={"scans": [1], **choice})
    in_page = client.post("/jobs/1/scans/1/redo", data=form(seen=0, **choice))

    assert (over_api.status_code, over_api.json()["code"], in_page.status_code) == (422, "invalid", 422)
    assert re.search(sentence, over_api.json()["detail"])
    assert len(client.get("/api/v1/jobs").json()["jobs"]) == 1


def test_a_job_or_a_schedule_with_an_embedding_that_nobody_has_is_refused(web: Web) -> None:
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    places = {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}
    client = web.browser()

    answers = [
        client.post("/api/v1/jobs", json={**places, "embedding": "dreamt"}),
        client.post("/api/v1/schedules/nightly", json={**places, "embedding": "dreamt", "cron": "@daily"}),
        client.post("/jobs/new", data=form(**places, embedding="dreamt", action="submit")),
        client.post("/schedules/new", data=form(**places, embedding="dreamt", schedule="nightly", cron="@daily")),
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    assert all("neither a running worker nor this machine has it" in answer.text for answer in answers)
    assert len(client.get("/api/v1/jobs").json()["jobs"]) == 1
    assert client.get("/api/v1/schedules").json() == []


def test_checkpoints_of_running_workers_alone_are_offered(web: Web, engine: Engine) -> None:
    run_worker(engine, "living", VIVID)
    run_worker(engine, "killed", CARD.id)
    with session_scope(engine) as session:
        silent = {"heartbeat_at": utc_now() - timedelta(minutes=5)}
        session.execute(update(Worker).where(Worker.name == "killed").values(**silent))

    assert offered(web, "checkpoint") == [VIVID]
    assert offered(web, "embedding") == list(CARD.embeddings)


def test_a_checkpoint_that_only_a_worker_knows_is_taken_with_any_embedding(web: Web, engine: Engine) -> None:
    run_worker(engine, "other", "0123456789ab")

    redo = {"scans": [1], "checkpoint": "0123456789ab", "embedding": "our_own"}

    assert web.browser().post("/api/v1/jobs/1/redo", json=redo).status_code == 201


@pytest.mark.parametrize("choice", [{"head": "typo"}, {"embedding": "nonsense"}, {"embedding": "../our own"}])
def test_an_invented_choice_is_refused_though_a_worker_has_a_checkpoint_that_only_it_knows(
    web: Web, engine: Engine, choice: dict[str, str]
) -> None:
    run_worker(engine, "other", "0123456789ab")

    answer = web.browser().post("/api/v1/jobs/1/redo", json={"scans": [1], **choice})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("embedding", ["our_own", "imagenet", *CARD.embeddings])
def test_an_embedding_that_a_running_worker_can_have_is_taken(web: Web, engine: Engine, embedding: str) -> None:
    run_worker(engine, "other", "0123456789ab-vivid-our_own")

    redo = {"scans": [1], "embedding": embedding}

    assert web.browser().post("/api/v1/jobs/1/redo", json=redo).status_code == 201


def test_a_checkpoint_that_only_a_worker_knows_is_not_taken_with_what_is_no_name(web: Web, engine: Engine) -> None:
    run_worker(engine, "other", "0123456789ab")

    redo = {"scans": [1], "checkpoint": "0123456789ab", "embedding": "../our own"}

    assert web.browser().post("/api/v1/jobs/1/redo", json=redo).status_code == 422
