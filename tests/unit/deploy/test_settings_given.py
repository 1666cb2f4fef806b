"""Every PHOTOCHROM_ name in deploy/ and the docs is a setting."""

import re

from tests.unit.deploy.files import DEPLOY, ROOT
from worker.settings.settings import PREFIX, Settings

OF_COMPOSE = {"PHOTOCHROM_PASSWORD"}  # only compose.yml uses it


def test_every_name_is_a_setting() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json", ".pyc")]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OF_COMPOSE | {PREFIX}
    for path in files + pages:
        named = set(re.findall(r"PHOTOCHROM_[A-Z0-9_]*", path.read_text("utf-8")))
        assert not named - known, path
