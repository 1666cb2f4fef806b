"""`photochrom models`: what a checkpoint is and what it was measured at."""

import json

from typer.testing import CliRunner

from scheduler.cli import app
from worker.model.checkpoint import bundled_checkpoint_path, read_card

CARD = read_card(bundled_checkpoint_path())


def test_it_names_heads_embeddings_figures_and_limits() -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "400"})
    assert result.exit_code == 0
    assert f"Checkpoint {CARD.id}" in result.stdout
    assert f"head {CARD.head} (used unless told otherwise)" in result.stdout
    assert f"embedding {CARD.embedding} (used unless told otherwise)" in result.stdout
    assert "tint baseline: R2 0.000" in result.stdout
    assert CARD.limits[0] in result.stdout


def test_as_json_it_is_the_whole_card() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    assert json.loads(result.stdout)["files"] == dict(CARD.files)
