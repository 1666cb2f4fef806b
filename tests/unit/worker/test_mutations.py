"""Hostile files through the pipeline: each ends done or with a code, and a scan that failed has no output."""

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from db.queries.scans import Measured
from tests.unit.scans.test_scan_carrying import FORMATS, _scan
from tests.unit.scans.variants import all_variants
from tests.unit.worker.test_pipeline import assignment, predict
from worker.budget import ByteBudget
from worker.error_codes import ERROR_CODES
from worker.errors import ScanError
from worker.pipeline import Pipeline
from worker.scans import ScanLimits, configure_libraries
from worker.storage.folder import FolderStorage

FILES = 400


def mutated(data: bytes, dice: np.random.Generator, others: list[bytes]) -> bytes:
    """Flipped bits, hostile numbers, a cut, another file's head, or a piece twice."""
    file = bytearray(data)
    for _ in range(int(dice.integers(1, 4))):
        place = int(dice.integers(0, len(file))) if file else 0
        match int(dice.integers(0, 5)):
            case 0:
                for at in dice.integers(0, max(1, len(file)), 8):
                    file[at : at + 1] = bytes([int(dice.integers(0, 256))])
            case 1:
                number = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF)[int(dice.integers(0, 5))]
                file[place : place + 4] = struct.pack("<>"[int(dice.integers(0, 2))] + "I", number)
            case 2:
                del file[place:]
            case 3:
                other = others[int(dice.integers(0, len(others)))]
                head = int(dice.integers(1, 64))
                file[:head] = other[:head]
            case _:
                file[place:place] = file[place : place + int(dice.integers(1, 500))]
    return bytes(file)


def carry_mutations(folder: Path, files: int, seed: int) -> Counter[str]:
    """How many mutated files ended how."""
    configure_libraries()
    for name in ("in", "out"):
        (folder / name).mkdir()
    pipeline = Pipeline(
        FolderStorage(folder / "in"),
        FolderStorage(folder / "out"),
        predict,
        ScanLimits(1 << 20, 1 << 20),
        ByteBudget(1 << 30),
        folder,
    )
    sound = [variant.data for variant in all_variants() if variant.code is None] + [_scan(name) for name in FORMATS] * 9
    dice, ends = np.random.default_rng(seed), Counter[str]()
    for number in range(files):
        (folder / "in" / "a.tif").write_bytes(mutated(sound[number % len(sound)], dice, sound))
        format = FORMATS[number % 3]
        output = folder / "out" / f"{number}.{format}"
        try:
            pipeline.colorize_scan(assignment("a.tif", output.name, format), Measured())
            ends["done"] += 1
            assert output.stat().st_size > 0
        except ScanError as refused:
            ends[refused.code if "\n" not in refused.message else "several lines"] += 1
            assert not output.exists()
        output.unlink(missing_ok=True)
    return ends


@pytest.mark.timeout(240)
def test_mutated_files_end_with_a_code_or_done(tmp_path: Path) -> None:
    ends = carry_mutations(tmp_path, FILES, seed=5)

    assert ends.total() == FILES
    assert set(ends) <= {"done", *ERROR_CODES}
    assert {"done", "truncated", "unreadable", "unsupported"} <= set(ends)
    assert not {"internal", "unwritable"} & set(ends)
