"""The files of deploy/, as the tests read them."""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from worker.settings.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DRAIN_SECONDS = float(Settings.model_fields["drain_seconds"].default)
# A worker that is told to stop ends within its drain time; the margin is for a slow machine.
MARGIN_SECONDS = 10
DIGEST = "@sha256:" + 4 * "0123456789abcdef"


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text("utf-8")) if each]


def seconds(text: str) -> float:
    """Read a duration as compose and systemd write it: 45s, 45, 2m."""
    number, unit = re.fullmatch(r"(\d+)(s|m|)", text).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit == "m" else 1)


def program(name: str) -> Path:
    """A program of the development dependencies."""
    return Path(sys.executable).with_name(name)
