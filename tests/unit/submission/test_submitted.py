"""What a submission says about the files that it left out."""

from scheduler.submission.request import Submitted


def test_other_files_are_counted_by_their_extensions() -> None:
    submitted = Submitted(job_id=1, scans=2, bytes=3_000_000)
    for key in ("a.txt", "b/c.TXT", "notes.pdf", "README"):
        submitted.note_other(key)

    assert submitted.passed_over() == ["4 other files passed over (2 .txt, 1 without an extension, 1 .pdf)"]
    assert submitted.sentence().startswith("job 1 has 2 scans, 3.0 MB, 4 other files passed over (2 .txt")


def test_extensions_without_end_are_not_all_kept() -> None:
    submitted = Submitted()
    for number in range(5_000):
        submitted.note_other(f"page.{number}")

    assert submitted.others == 5_000
    assert len(submitted.extensions) == 1_000


def test_a_dry_run_says_how_many_scans_have_each_format() -> None:
    submitted = Submitted(scans=4, dry_run=True)
    for key in ("a.tif", "b/c.JPG", "d.tiff", "e.j2k"):
        submitted.note_scan(key)

    assert submitted.formats == {"tiff": 2, "jpeg": 1, "jp2": 1}
    assert submitted.sentence().startswith("would submit 4 scans (2 TIFF, 1 JPEG 2000, 1 JPEG), 0.0 MB")


def test_without_other_files_nothing_is_reported() -> None:
    assert Submitted(scans=3).passed_over() == []


def test_a_listing_can_be_continued_by_an_earlier_version_and_by_a_later_one() -> None:
    submitted, continued = Submitted(scans=3, bytes=12, archived=1, formats={"tiff": 3}), Submitted()

    progress = submitted.progress()
    continued.restore({**progress, "counts": {**progress["counts"], "of_a_later_version": 7}})

    # A scheduler of an earlier version continues with these counts, and knows only numbers.
    assert all(isinstance(count, int) for count in progress["counts"].values())
    assert continued == submitted
