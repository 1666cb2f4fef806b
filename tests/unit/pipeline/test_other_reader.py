"""Signed outputs, read by a C2PA reader that shares no code with the library that signs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import encypher_c2pa
import pytest

from tests.unit.pipeline.test_pipeline import assignment, colorize, pipeline  # noqa: F401  the fixture
from tests.unit.pipeline.test_signing import FORMATS, credentials, write_source
from tests.unit.scans.metadata.certificates import write_certificate
from worker.pipeline.colorize import Pipeline


@pytest.mark.parametrize("format", FORMATS)
def test_another_reader_finds_the_signature_valid_until_a_byte_is_changed(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    format: str,
) -> None:
    chain, certificate_key = write_certificate(tmp_path)
    signing = credentials(c2pa_certificate=chain, c2pa_key=certificate_key)
    key = write_source(tmp_path, format)
    colorize(replace(pipeline, credentials=signing), assignment(key, key, format))
    content = bytearray((tmp_path / "out" / key).read_bytes())

    assert verdict(content, format) == {"integrity": "valid", "signature": "valid", "hard_binding": "match"}

    content[content.find(b"A mill") + 1] ^= 1
    assert verdict(content, format) == {"integrity": "invalid", "signature": "valid", "hard_binding": "mismatch"}


def verdict(content: bytearray, format: str) -> dict[str, Any]:
    report = encypher_c2pa.verify(bytes(content), f"image/{format}")
    return {name: report[name] for name in ("integrity", "signature", "hard_binding")}
