"""Keys that a bag can't hold, because the programs that read its manifest would read other keys."""

import codecs
from pathlib import Path

import pytest

from scheduler.submission.bag_keys import check_key
from worker.errors import UsageError


@pytest.mark.parametrize(
    "key", ["100%.png", "a\nb", "a\r", "a\u2028b.tif", "a\x85b.tif", "a\x0bb", "a\x1cb", "end ", "end\u00a0"]
)
def test_a_key_that_readers_split_or_shorten_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="--bag: the key"):
        check_key(key)


@pytest.mark.parametrize("key", ["a b.tif", " lead.tif", "tab\tin.tif", "è/\u200d.tif", "[x].tif", "*.tif", "#1.tif"])
def test_any_other_key_comes_back_from_a_manifest(key: str, tmp_path: Path) -> None:
    check_key(key)
    (tmp_path / "manifest").write_text(f"0a  data/{key}\n", encoding="utf-8", newline="")
    with codecs.open(str(tmp_path / "manifest"), encoding="utf-8") as manifest:  # as the library `bagit` reads it
        assert [line.strip().split(None, 1) for line in manifest] == [["0a", f"data/{key}"]]
