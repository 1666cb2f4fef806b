"""In the pipeline, a hostile file ends as done or with an error code, and a failed scan has no output."""

from collections import Counter
from pathlib import Path

import pytest

from db.queries.scans.records import ScanMeasurements
from tests.fuzz.files import hostile_files
from tests.unit.pipeline.test_pipeline import assignment, predict
from worker.error_codes import ERROR_CODES
from worker.errors import ScanError
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Pipeline
from worker.scans import ScanLimits, configure_libraries
from worker.storage.folder.storage import FolderStorage

FILES = 400
FORMATS = ("jpeg", "png", "tiff", "jp2", "webp")


def carry_mutations(folder: Path, files: int, seed: int) -> Counter[str]:
    """The number of mutated files for each way to end: "done" or an error code."""
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
    ends = Counter[str]()
    for number, file in enumerate(hostile_files(files, seed)):
        (folder / "in" / "a.tif").write_bytes(file.data)
        format = FORMATS[number % len(FORMATS)]
        output = folder / "out" / f"{number}.{format}"
        try:
            pipeline.colorize_scan(assignment("a.tif", output.name, format), ScanMeasurements())
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
