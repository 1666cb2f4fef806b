"""Wrong settings are refused in a sentence, and the reference page is made from the class."""

from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model.checkpoint import read_card
from worker.settings.reference import as_markdown, described
from worker.settings.settings import Settings, load_settings

REFERENCE = Path(__file__).parents[3] / "docs" / "settings.md"


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        load_settings()
    return refused.value.message


def test_a_misspelt_name_is_refused_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, PHOTOCHROM_LEASE_SECOND="60", photochrom_batchsize="4")

    assert "PHOTOCHROM_LEASE_SECOND is not a setting; did you mean PHOTOCHROM_LEASE_SECONDS?" in message
    assert "did you mean PHOTOCHROM_BATCH_SIZE?" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PHOTOCHROM_SCHEDULER_SERVICE_HOST", "10.0.0.7"),
        ("PHOTOCHROM_SCHEDULER_PORT", "tcp://10.0.0.7:9808"),
        ("PHOTOCHROM_SCHEDULER_PORT_9808_TCP_ADDR", "10.0.0.7"),
        ("PHOTOCHROM_TEST_PHOTOS", "/photos"),
    ],
)
def test_what_kubernetes_and_the_tests_set_is_none_of_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    load_settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BATCH_SIZE", "zero", "is 'zero'; expected a whole number"),
        ("BATCH_SIZE", "0", "is '0'; expected at least 1"),
        ("METRICS_PORT", "65536", "is '65536'; expected at most 65535"),
        ("LEASE_SECONDS", "nan", "expected a finite number"),
        ("LOG_LEVEL", "loud", "expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("FIND_FILM_BORDERS", "maybe", "expected true or false"),
        ("SCRATCH_FOLDER", "/nowhere", "expected a folder that is there"),
        ("QUEUE", "", "expected at least one character"),
        ("DIGITAL_SOURCE_TYPE", "", "expected at least one character"),
        ("STAND_IN_MODEL_MILLISECONDS", "-5", "is '-5'; expected at least 0"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    message = refusal(monkeypatch, **{f"PHOTOCHROM_{name}": value})

    assert message.startswith(f"PHOTOCHROM_{name} ")
    assert expected in message
    assert "should" not in message.lower()  # pydantic's own wording


def test_an_unset_database_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOTOCHROM_DATABASE_URL", raising=False)

    with pytest.raises(UsageError, match="PHOTOCHROM_DATABASE_URL is not set; expected postgresql://"):
        _ = load_settings().database


def test_the_reference_is_what_the_class_says() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == as_markdown(Settings), (
        "docs/settings.md is old; run: photochrom settings --markdown > docs/settings.md"
    )


def test_secrets_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOCHROM_DATABASE_URL", "postgresql://clerk:hunter2@host/db")

    assert "hunter2" not in str(described(Settings, load_settings()))


@pytest.mark.parametrize(
    ("children", "batch_size", "devices", "threads"), [(2, 8, 1, 8), (16, 8, 1, 4), (3, 16, 2, 22), (1, 1024, 1, 256)]
)
def test_children_have_two_batches_in_hand_between_them(
    children: int, batch_size: int, devices: int, threads: int
) -> None:
    assert Settings(children=children).threads_for(batch_size, devices) == threads
    assert Settings(children=children, threads_per_child=7).threads_for(batch_size, devices) == 7


def test_without_features_the_checkpoint_is_the_paper_s_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOCHROM_FEATURES", "none")

    card = read_card(load_settings().checkpoint_folder)

    assert (card.name, card.features) == ("first", None)
    assert load_settings().model_options.checkpoint == load_settings().checkpoint_folder


def test_no_features_are_refused_of_a_checkpoint_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, PHOTOCHROM_FEATURES="none", PHOTOCHROM_CHECKPOINT="second")

    assert "features is none, but the checkpoint second has a map of features" in message


def test_an_option_of_a_command_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOCHROM_HEAD", "paper")

    assert load_settings(head="vivid").head == "vivid"
    assert load_settings(head=None).head == "paper"


def test_only_the_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, PHOTOCHROM_FEATURES="lite2").count("PHOTOCHROM_") == 1
