"""`photochrom models` shows what a checkpoint contains and the figures that were measured with it."""

import json
import re

from typer.testing import CliRunner

from scheduler.cli import app
from worker.model.checkpoint import bundled_checkpoint_path, read_card

CARD = read_card(bundled_checkpoint_path())


def test_it_names_heads_embeddings_figures_and_limits() -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "400"})
    assert result.exit_code == 0
    assert f"Checkpoint {CARD.id}" in result.stdout
    assert f"head {CARD.head} (the default)" in result.stdout
    assert f"embedding {CARD.embedding} (the default)" in result.stdout
    assert "tint baseline: R2 0.000" in result.stdout
    assert CARD.limits[0] in result.stdout


def test_it_names_the_ids_for_redo_and_what_a_worker_must_be_started_with() -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "80"})
    said = dict(re.findall(rf"(?m)^  ({CARD.id}\S*) +(.*)$", result.stdout))
    assert said[CARD.id] == "the defaults"
    assert said[f"{CARD.id}-vivid"] == "PHOTOCHROM_HEAD=vivid"
    assert said[f"{CARD.id}-vivid-compact"] == "PHOTOCHROM_HEAD=vivid PHOTOCHROM_EMBEDDING=compact"
    assert len(said) == len(CARD.heads) * len(CARD.embeddings)


def test_json_output_has_the_whole_card_and_its_ids() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    card = json.loads(result.stdout)
    assert card["files"] == dict(CARD.files)
    assert card["ids"][0] == {"id": CARD.id, "head": CARD.head, "embedding": CARD.embedding}


def test_a_bundled_checkpoint_is_shown_by_its_name() -> None:
    card = json.loads(CliRunner().invoke(app, ["models", "first", "--json"]).stdout)
    assert (card["name"], card["features"]) == ("first", None)
