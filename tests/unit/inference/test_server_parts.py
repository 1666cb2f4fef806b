import stat
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.inference.server import is_out_of_memory, listen, load_largest
from worker.inference.stand_in import StandInColorizer


class ResourceExhaustedError(Exception):
    """TensorFlow's, by its name."""


def test_the_model_starts_with_the_largest_batch_that_the_device_has_room_for() -> None:
    def load(batch_size: int) -> StandInColorizer:
        if batch_size > 10:
            raise ResourceExhaustedError
        return StandInColorizer(0, batch_size)

    assert load_largest(load, 32).batch_size == 8


def test_a_device_without_room_for_one_scan_is_an_error() -> None:
    def load(batch_size: int) -> StandInColorizer:
        raise ResourceExhaustedError

    with pytest.raises(ResourceExhaustedError):
        load_largest(load, 4)


def test_out_of_memory_is_known_by_name_or_words() -> None:
    assert is_out_of_memory(ResourceExhaustedError())
    assert is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_a_socket_that_other_users_could_reach_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="expected a folder of mode 0700"):
        listen(folder / "model")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't listen on"):
        listen(tmp_path / ("x" * 120))


def test_the_socket_is_its_users_own(tmp_path: Path) -> None:
    with listen(tmp_path / "s" / "model"):
        assert stat.S_IMODE((tmp_path / "s" / "model").stat().st_mode) == 0o600
