"""`python -m worker.training COMMAND`, which `photochrom train`, `cross-fit` and `evaluate` run."""

import sys
import time
from importlib import import_module

from worker.errors import PhotochromError, UsageError
from worker.model.backends.loading import load_backend
from worker.training.command_parser import command_parser

# For each command, its module in worker.training.commands. The module's function has the module's name.
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
ENDLESS_COMMANDS = ("train", "distill")  # have no end of their own
INTERRUPTED = 130  # the exit status that a shell gives for SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns 0 if it is done, 2 for wrong use, 130 after Ctrl-C; the last two print one line."""
    began = time.monotonic()
    parsed = command_parser().parse_args(arguments)
    parsed.began = began  # so that --minutes counts all that a command does
    if parsed.command in ENDLESS_COMMANDS and not parsed.steps and not parsed.minutes:
        print(
            "photochrom: neither --steps nor --minutes was given; give one of them, so that training ends",
            file=sys.stderr,
        )
        return UsageError.exit_status
    # This also keeps back TensorFlow's own lines about missing GPUs, which it writes at every start.
    load_backend()
    # The command's module loads TensorFlow. It is imported here, so that --help does not load it.
    name = COMMAND_MODULES[parsed.command]
    commands = import_module(f"worker.training.commands.{name}")

    try:
        getattr(commands, name)(parsed)
    except PhotochromError as error:
        print(f"photochrom: {error.message}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("photochrom: stopped; give --resume to continue a training run", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
