import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.errors import CheckpointError
from worker.model import checkpoint
from worker.model.classifiers.embedding import load_embedding
from worker.training.export.checkpoint import share_embeddings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose one weight file holds four bytes."""
    (tmp_path / "fusion.safetensors").write_bytes(b"abcd")
    files = {"fusion.safetensors": checkpoint.file_sha256(tmp_path / "fusion.safetensors")}
    card = checkpoint.Card(
        id=checkpoint.checkpoint_id(files),
        name="tiny",
        created="2024-08-01T00:00:00+00:00",
        network=checkpoint.NETWORK,
        head="paper",
        heads=("paper",),
        embedding="inception_resnet_v2",
        embeddings={"inception_resnet_v2": {"input_px": 299, "temperature": 1.0, "files": []}},
        files=files,
        training_mean_ab=(1.6, 7.7),
        training={},
    )
    checkpoint.write_card(tmp_path, card)
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / "card.json").read_text())
    edit(values)
    (folder / "card.json").write_text(json.dumps(values))


def test_a_whole_checkpoint_is_verified(folder: Path) -> None:
    assert checkpoint.verify(folder) == checkpoint.read_card(folder)


def test_one_changed_byte_is_refused_and_the_file_named(folder: Path) -> None:
    (folder / "fusion.safetensors").write_bytes(b"abce")
    with pytest.raises(CheckpointError, match=r"fusion\.safetensors has SHA-256 .* its card says .*restore"):
        checkpoint.verify(folder)


def test_a_missing_weight_file_is_named(folder: Path) -> None:
    (folder / "fusion.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks fusion\.safetensors"):
        checkpoint.verify(folder)


def test_embeddings_may_lie_in_the_checkpoint_beside_it(checkpoint_folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(checkpoint_folder, first)
    shutil.copytree(checkpoint_folder, second)
    card = share_embeddings(second, first)
    assert sorted(path.name for path in second.iterdir()) == ["card.json", "fusion.safetensors"]
    assert checkpoint.verify(second) == card
    assert load_embedding("compact", second, card).fingerprint() == load_embedding("compact", first, card).fingerprint()
    (first / "embedding-compact-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"first lacks embedding-compact-1.*card of \S+second"):
        checkpoint.verify(second)


def test_a_missing_folder_and_a_missing_card_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        checkpoint.read_card(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no card\.json"):
        checkpoint.read_card(tmp_path)


def test_weights_for_another_network_are_refused(folder: Path) -> None:
    change(folder, lambda values: values.update(network="fusion-0"))
    with pytest.raises(CheckpointError, match="is for the network 'fusion-0', this is 'fusion-1'"):
        checkpoint.read_card(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"id": 1}'])
def test_a_damaged_card_is_one_line(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"card\.json is not a model card") as caught:
        checkpoint.read_card(folder)
    assert "\n" not in caught.value.message


def test_a_head_that_was_not_trained_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="tiny has no head 'vivid'; expected one of paper"):
        checkpoint.head_of(checkpoint.read_card(folder), "vivid")


def test_a_head_or_embedding_other_than_the_card_s_default_is_part_of_the_checkpoint_id(folder: Path) -> None:
    def not_asked() -> str:
        raise AssertionError("reading all weights takes its time at every start")

    card = checkpoint.read_card(folder)
    assert card.variant("paper", "inception_resnet_v2", not_asked) == card.id
    assert card.variant("vivid", "imagenet", lambda: "aaaaaaaa") == f"{card.id}-vivid-embedding-aaaaaaaa"


def test_a_card_whose_choice_is_not_in_its_list_is_refused(folder: Path) -> None:
    change(folder, lambda values: values.update(embedding="compact"))
    with pytest.raises(CheckpointError, match=r"card\.json is not a model card"):
        checkpoint.read_card(folder)


def test_an_embeddings_former_name_is_still_read(folder: Path) -> None:
    embeddings = {"bundled": {"input_px": 299, "temperature": 1.0, "files": []}}
    change(folder, lambda values: values.update(embedding="bundled", embeddings=embeddings))
    card = checkpoint.read_card(folder)
    assert (card.embedding, list(card.embeddings)) == ("inception_resnet_v2", ["inception_resnet_v2"])
    checkpoint.check_embedding(card, "bundled")


@pytest.mark.parametrize("side", [402, 32, 800])
def test_a_side_that_the_network_cannot_take_is_refused(folder: Path, side: int) -> None:
    change(folder, lambda values: values.update(input_px=side))
    with pytest.raises(CheckpointError, match=f"input_px is {side}; expected a multiple of 8, 64 to 400"):
        checkpoint.read_card(folder)


def test_a_card_cannot_name_files_outside_its_folder(folder: Path) -> None:
    change(folder, lambda values: values["files"].update({"../other": "0"}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        checkpoint.read_card(folder)


@pytest.mark.parametrize("file", ["../other.safetensors", "unlisted.safetensors"])
@pytest.mark.parametrize("user", ["features", "embeddings"])
def test_a_card_cannot_use_files_that_it_does_not_list(folder: Path, user: str, file: str) -> None:
    unlisted = {"input_px": 299, "temperature": 1.0, "files": [file]}
    use = unlisted if user == "features" else {"inception_resnet_v2": unlisted}
    change(folder, lambda values: values.update({user: use}))
    with pytest.raises(CheckpointError, match=f"gives no SHA-256 of {file}"):
        checkpoint.read_card(folder)


def test_an_id_that_is_not_its_files_is_refused(folder: Path) -> None:
    change(folder, lambda values: values.update(id="000000000000"))
    with pytest.raises(CheckpointError, match="has the id 000000000000 in its card"):
        checkpoint.verify(folder)


def test_the_bundled_checkpoint_is_whole_and_small_enough_for_a_repository() -> None:
    folder = checkpoint.bundled_checkpoint_path()
    card = checkpoint.verify(folder)
    sizes = [card.file_path(folder, name).stat().st_size for name in card.files]
    assert max(sizes) <= 45_000_000
    assert sum(sizes) <= 90_000_000


def test_reading_a_card_loads_no_tensorflow() -> None:
    modules = "worker.model.checkpoint, worker.colour.lab, worker.model.ab_bins"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_bundled_checkpoint_is_known_by_its_name(folder: Path) -> None:
    assert checkpoint.checkpoint_folder(None) == checkpoint.bundled_checkpoint_path()
    assert checkpoint.checkpoint_folder(Path("first")) == checkpoint.bundled_checkpoint_path("first")
    assert checkpoint.checkpoint_folder(folder) == folder
    assert checkpoint.verify(checkpoint.checkpoint_folder(Path("first"))).features is None
