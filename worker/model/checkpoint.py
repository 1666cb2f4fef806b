"""A checkpoint: a folder with trained weights and `card.json`, their model card.

This module does not load TensorFlow, so a card is read in milliseconds.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, Literal

from worker.errors import CheckpointError
from worker.system.whole_files import write_beside_then_rename

NETWORK = "fusion-1"  # change it when older weights no longer fit network.py
CARD_FILE = "card.json"
BUNDLED = "third"
WITHOUT_MAP = "first"  # the bundled checkpoint with exactly the paper's network
STAND_IN = "stand-in"  # the id of the stand-in model, which has no checkpoint
IMAGENET = "imagenet"  # the embedding with weights that Keras downloads
FORMER_EMBEDDING_NAMES = {"bundled": "inception_resnet_v2"}  # in cards and settings of earlier versions


@dataclass(frozen=True)
class Card:
    """The model card.

    `files` has each weight file's SHA-256, from which `id` is made. `embeddings` has for each name its network, its
    training, its files, the side of its input (px) and the temperature by which its logits are divided. `embedding` is
    the default one. `heads` are the trained heads, and `head` is the default one.
    """

    id: str
    name: str
    created: str  # ISO 8601, UTC
    network: str
    head: str  # "paper" or "vivid"
    heads: tuple[str, ...]
    embedding: str
    embeddings: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    training_mean_ab: tuple[float, float]  # CIE units: the tint baseline
    training: Mapping[str, Any]  # data by source and licence with counts, settings, hours
    figures: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    annealing_temperature: float = 0.38  # of the vivid head's mean over its bins; Zhang et al. use 0.38
    embeddings_from: str | None = None  # the folder beside this one with the embeddings' files; None: this folder
    variation: Mapping[str, float] = field(default_factory=dict)  # by head: the factor for colours around a scan's mean
    doubtful_below: float | None = None  # a tenth of unseen photos have a lower certainty
    input_px: int = 400  # the side of the square that the network sees, a multiple of 8
    # The feature network of the map: files, input_px, licence, origin; None: no map.
    features: Mapping[str, Any] | None = None

    def variant(self, head: str, embedding: str, fingerprint: Callable[[], str]) -> str:
        """The checkpoint id for scans: the card's id, and the head and embedding if they are not its defaults.

        `fingerprint` is called only for an embedding that is not in the card, because it reads all weights.
        """
        parts = [self.id]
        if head != self.head:
            parts.append(head)
        if embedding != self.embedding:
            parts.append(embedding if embedding in self.embeddings else f"embedding-{fingerprint()}")
        return "-".join(parts)

    def variants(self) -> dict[str, tuple[str, str]]:
        """Every head with every embedding of the card, by checkpoint id, the default first."""
        defaults = (self.head, self.embedding)
        every = sorted(product(self.heads, self.embeddings), key=lambda pair: pair != defaults)
        return {self.variant(head, embedding, str): (head, embedding) for head, embedding in every}

    @property
    def sha256(self) -> str:
        """The SHA-256, in hex, of the list of the weight files, of which `id` is the beginning."""
        return files_sha256(self.files)

    def file_path(self, folder: Path, file: str) -> Path:
        """The path of a weight file of the checkpoint in `folder`."""
        shared = self.embeddings_from and any(file in one["files"] for one in self.embeddings.values())
        return folder.parent / str(self.embeddings_from) / file if shared else folder / file


def bundled_checkpoint_path(name: str = BUNDLED) -> Path:
    """The folder of a checkpoint that ships with Photochrom."""
    return Path(__file__).parent / "weights" / name


def bundled_cards() -> list[Card]:
    """The cards of the checkpoints that ship with Photochrom and are on this machine, in the order of their names."""
    folders = sorted(bundled_checkpoint_path().parent.iterdir())
    return [read_card(folder) for folder in folders if (folder / CARD_FILE).is_file()]


def checkpoint_folder(path: Path | None) -> Path:
    """The folder of a checkpoint.

    `path`: a folder, or a bundled checkpoint's name such as `first`; None: the bundled default.
    """
    if path is None:
        return bundled_checkpoint_path()
    named = bundled_checkpoint_path(str(path))
    return named if len(path.parts) == 1 and not path.exists() and named.is_dir() else path


def read_card(folder: Path) -> Card:
    """The card of the checkpoint in `folder`.

    Raises CheckpointError if the folder or the card is missing, if the card is invalid, or if it is for another
    network.
    """
    path = folder / CARD_FILE
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder; expected a checkpoint, which is a folder with {CARD_FILE} and its weights"
        )
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {CARD_FILE}; expected a checkpoint: give the folder that training wrote"
        )
    card = _parse(path)
    if card.network != NETWORK:
        raise CheckpointError(
            f"{folder} is for the network {card.network!r}, this is {NETWORK!r}; train or export it again"
        )
    return card


def verify(folder: Path) -> Card:
    """Reads the card and compares every weight file with it.

    Raises CheckpointError as `read_card`, and for a file that is missing or has another hash.
    """
    card = read_card(folder)
    for name, expected in card.files.items():
        path = card.file_path(folder, name)
        if not path.is_file():
            raise CheckpointError(f"{path.parent} lacks {name}, which the card of {folder} lists; restore both folders")
        digest = file_sha256(path)
        if digest != expected:
            raise CheckpointError(
                f"{path} has SHA-256 {digest[:12]}..., its card says {expected[:12]}...; "
                "the file is damaged or another's: restore the checkpoint"
            )
    if card.id != checkpoint_id(card.files):
        raise CheckpointError(f"{folder} has the id {card.id} in its card, its files give {checkpoint_id(card.files)}")
    return card


def head_of(card: Card, name: str | None) -> Literal["paper", "vivid"]:
    """The head `name`, or the default. Raises CheckpointError for one that the checkpoint does not have."""
    head = name or card.head
    if head not in card.heads:
        raise CheckpointError(
            f"the checkpoint {card.name} has no head {head!r}; expected one of {', '.join(card.heads)}"
        )
    return "vivid" if head == "vivid" else "paper"


def present_embedding_name(name: str) -> str:
    """The present name of an embedding, from its present or former name."""
    return FORMER_EMBEDDING_NAMES.get(name, name)


def check_embedding(card: Card, name: str | None) -> None:
    """Raises CheckpointError if `name` is not an embedding of the checkpoint, not imagenet and not a file."""
    if name is None or present_embedding_name(name) in card.embeddings or name == IMAGENET or Path(name).is_file():
        return
    raise CheckpointError(f"the embedding {name!r} is neither a name nor a file; give {embedding_choices(card)}")


def embedding_choices(card: Card) -> str:
    """The possible values for an embedding, for an error message."""
    names = ", ".join(repr(name) for name in card.embeddings)
    return f"{names}, {IMAGENET!r} where the machine has internet, or a file of Keras weights of InceptionResNetV2"


def write_card(folder: Path, card: Card) -> None:
    """Writes `card.json` into `folder`."""
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False)
    with write_beside_then_rename(folder / CARD_FILE) as new:
        new.write_text(text + "\n", encoding="utf-8")


def checkpoint_id(files: Mapping[str, str]) -> str:
    """The id of a set of weight files, given by name and SHA-256: twelve hexadecimal digits."""
    return files_sha256(files)[:12]


def files_sha256(files: Mapping[str, str]) -> str:
    """The SHA-256, in hex, of a set of weight files, given by name and SHA-256: of a line `name sha256` for each."""
    listing = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_present_names(values: Mapping[str, Any]) -> dict[str, Any]:
    embeddings = {present_embedding_name(name): description for name, description in values["embeddings"].items()}
    return {"embedding": present_embedding_name(values["embedding"]), "embeddings": embeddings}


def _parse(path: Path) -> Card:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values_of_fields = {key: values[key] for key in (f.name for f in fields(Card)) if key in values}
        mean_a, mean_b = values_of_fields["training_mean_ab"]
        values_of_fields |= _with_present_names(values_of_fields)
        lists = {"heads": tuple(values_of_fields["heads"]), "limits": tuple(values_of_fields.get("limits", ()))}
        card = Card(**values_of_fields | lists | {"training_mean_ab": (mean_a, mean_b)})
        if card.input_px % 8 or not 64 <= card.input_px <= 400:
            raise ValueError(f"input_px is {card.input_px}; expected a multiple of 8, 64 to 400")
        users = [*card.embeddings.values(), *([card.features] if card.features else [])]
        if missing := {str(file) for one in users for file in one["files"]} - set(card.files):
            raise ValueError(f"it gives no SHA-256 of {', '.join(sorted(missing))}")
        if card.head not in card.heads or card.embedding not in card.embeddings:
            raise ValueError("its head or embedding is none of those it lists")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a model card ({error}); restore the checkpoint") from None
    names = [*card.files, *([card.embeddings_from] if card.embeddings_from else [])]
    if any("/" in name or "\\" in name or name.startswith(".") for name in names):
        raise CheckpointError(f"{path} names weight files outside its folder; it was not written by Photochrom")
    return card
