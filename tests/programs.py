"""Programs that no wheel contains. Each is asked for its name and version, because another program of the same name
may be on the PATH.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Program:
    """The first of `names` on the PATH whose answer to `question` matches the regular expression `introduction`.

    The group in the expression captures the version, which must be `oldest` or later.
    """

    names: tuple[str, ...]
    question: str
    introduction: str
    oldest: tuple[int, ...]
    remedy: str

    def path(self) -> str | None:
        """The path of the program; None if the machine does not have it."""
        paths = [path for name in self.names if (path := shutil.which(name))]
        return next((path for path in paths if self._is(path)), None)

    def require(self) -> str:
        """The path of the program. The test is skipped on a machine without it."""
        path = self.path()
        if path is None:
            pytest.skip(self.absence)
        return path

    @property
    def absence(self) -> str:
        oldest = ".".join(map(str, self.oldest))
        return f"needs {Path(self.names[0]).name} {oldest} or later: {self.remedy}"

    def _is(self, path: str) -> bool:
        version = re.search(self.introduction, _answer(path, self.question))
        return version is not None and tuple(map(int, version[1].split("."))) >= self.oldest


@cache
def _answer(path: str, question: str) -> str:
    try:
        run = subprocess.run([path, *question.split()], capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if run.returncode else run.stdout + run.stderr


BROWSER_FOLDER = Path(sys.prefix) / "browser"  # what `make browser` installs

CHROMIUM = Program(
    (str(BROWSER_FOLDER / "chromium"), "chromium", "chromium-browser", "google-chrome"),
    "--version",
    r"(?:Chromium|Google Chrome) (\d+)\.",
    (110,),
    "run make browser, or install Debian's package chromium",
)
DEBOOTSTRAP = Program(
    ("debootstrap",), "--version", r"\Adebootstrap (\d+\.\d+)", (1,), "install Debian's package debootstrap"
)
# Debian's client can build images; another client may lack buildx.
DOCKER = Program(
    ("/usr/bin/docker", "docker"), "--version", r"\ADocker version (\d+)\.", (20,), "install Debian's package docker.io"
)
DOCKERD = Program(("dockerd",), "--version", r"\ADocker version (\d+)\.", (20,), "install Debian's package docker.io")
IPROUTE = Program(("ip",), "-Version", r"\Aip utility, iproute2-(\d+\.\d+)", (5,), "install Debian's package iproute2")
KUBECTL = Program(
    ("kubectl",),
    "version --client",
    r"Client Version: .*?v(\d+\.\d+)",
    (1, 20),
    "install Debian's package kubernetes-client",
)
PROMETHEUS = Program(
    ("prometheus",), "--version", r"\Aprometheus, version (\d+\.\d+)", (2, 30), "install Debian's package prometheus"
)
PROMTOOL = Program(
    ("promtool",), "--version", r"\Apromtool, version (\d+\.\d+)", (2, 30), "install Debian's package prometheus"
)
SYSTEMD_ANALYZE = Program(
    ("systemd-analyze",), "--version", r"\Asystemd (\d+)", (250,), "install Debian's package systemd"
)
UNSHARE = Program(
    ("unshare",), "--version", r"\Aunshare from util-linux (\d+\.\d+)", (2, 30), "install Debian's package util-linux"
)
