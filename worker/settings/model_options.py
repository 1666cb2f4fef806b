"""The options of a model server: which model it loads, and how it runs it."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CPU_BATCH_SIZE = 8  # scans: larger batches are no faster on a CPU, see docs/performance.md
DEFAULT_BATCH_WAIT_MILLISECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """None means the value in the model card, or one that is measured on this machine."""

    checkpoint: Path | None = None  # its folder; required without a stub
    embedding: str | None = None  # a name in the card, `imagenet`, or a file
    head: str | None = None  # paper or vivid
    precision: str | None = None  # float32, bfloat16 or int8; None: the fastest one
    precision_file: Path | None = None  # a file that keeps the faster precision; None: it is measured at each start
    int8_folder: Path | None = None  # keeps networks converted to 8 bits; None: they are converted at each start
    input_px: int | None = None  # the side of the square that the network sees; None: the card's
    batch_size: int | None = None  # scans in one device batch; None: the fastest size
    batch_wait_milliseconds: float = DEFAULT_BATCH_WAIT_MILLISECONDS  # longest wait for a batch to fill
    stub_milliseconds: float | None = None  # use a stub that takes this long for a batch

    def arguments(self) -> list[str]:
        """The options as arguments of `python -m worker.inference.server`."""
        values = {
            "--checkpoint": self.checkpoint,
            "--embedding": self.embedding,
            "--head": self.head,
            "--precision": self.precision,
            "--precision-file": self.precision_file,
            "--int8-folder": self.int8_folder,
            "--input-px": self.input_px,
            "--batch-size": self.batch_size,
            "--batch-wait-milliseconds": self.batch_wait_milliseconds,
            "--stub-milliseconds": self.stub_milliseconds,
        }
        return [text for name, value in values.items() if value is not None for text in (name, str(value))]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--checkpoint", type=Path, help="folder of the checkpoint")
        parser.add_argument("--embedding", help="a name in the checkpoint's card, imagenet, or a file")
        parser.add_argument("--head", choices=["paper", "vivid"], help="default: the checkpoint's choice")
        parser.add_argument("--precision", choices=["float32", "bfloat16", "int8"], help="default: what is faster here")
        parser.add_argument("--precision-file", type=Path, help="where what is faster here is kept")
        parser.add_argument("--int8-folder", type=Path, help="where networks converted to 8 bits are kept")
        parser.add_argument("--input-px", type=int, help="side of the square that is seen; default: the card's")
        parser.add_argument("--batch-size", type=int, help="scans in one device batch; default: what is fastest here")
        parser.add_argument(
            "--batch-wait-milliseconds",
            type=float,
            default=DEFAULT_BATCH_WAIT_MILLISECONDS,
            help="longest wait for a batch to fill",
        )
        parser.add_argument("--stub-milliseconds", type=float, help="use a stub that takes this long for a batch")

    @classmethod
    def of_arguments(cls, arguments: argparse.Namespace) -> Self:
        return cls(
            checkpoint=arguments.checkpoint,
            embedding=arguments.embedding,
            head=arguments.head,
            precision=arguments.precision,
            precision_file=arguments.precision_file,
            int8_folder=arguments.int8_folder,
            input_px=arguments.input_px,
            batch_size=arguments.batch_size,
            batch_wait_milliseconds=arguments.batch_wait_milliseconds,
            stub_milliseconds=arguments.stub_milliseconds,
        )
