import signal
import stat
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.inference.batch_size import is_out_of_memory, load_fastest, load_largest
from worker.inference.models.stub_model import StubColorizer, StubColours
from worker.inference.server import listen
from worker.model.packing import PackedLightness
from worker.settings.model_options import ModelOptions
from worker.supervision import model_server_process
from worker.supervision.devices import devices_of, wanted_gpus
from worker.supervision.model_server_process import ModelServerProcess


class ResourceExhaustedError(Exception):
    """Stands for TensorFlow's error, which is recognized by this name."""


def test_the_model_starts_with_the_largest_batch_that_the_device_has_room_for() -> None:
    def load(batch_size: int) -> StubColorizer:
        if batch_size > 10:
            raise ResourceExhaustedError
        return StubColorizer(0, batch_size)

    assert load_largest(load, 32).batch_size == 8


def test_a_device_without_room_for_one_scan_is_an_error() -> None:
    def load(batch_size: int) -> StubColorizer:
        raise ResourceExhaustedError

    with pytest.raises(ResourceExhaustedError):
        load_largest(load, 4)


class Gpu(StubColorizer):
    """Has its own clock: a batch takes 10 ms and 1 ms for each scan, or 2 ms for each scan from 64 scans on."""

    device = "GPU"
    now = 0.0

    def predict_packed(self, lightness: PackedLightness) -> StubColours:
        Gpu.now += 0.01 + len(lightness) * (0.001 if len(lightness) < 64 else 0.002)
        return super().predict_packed(lightness[:0])


def test_a_gpus_batch_is_doubled_while_that_is_faster() -> None:
    assert load_fastest(lambda size: Gpu(0, size), lambda: Gpu.now).batch_size == 32


def test_a_gpus_batch_is_no_larger_than_there_is_room_for() -> None:
    def load(batch_size: int) -> Gpu:
        if batch_size > 16:
            raise ResourceExhaustedError
        return Gpu(0, batch_size)

    assert load_fastest(load, lambda: Gpu.now).batch_size == 16


def test_a_cpu_is_not_searched() -> None:
    sizes: list[int] = []

    def load(batch_size: int) -> StubColorizer:
        sizes.append(batch_size)
        return StubColorizer(0, batch_size)

    assert load_fastest(load).batch_size == 8
    assert sizes == [8]


def test_every_gpu_that_there_is_gets_a_model_server_unless_told_otherwise() -> None:
    found = [Path(f"/dev/nvidia{number}") for number in (10, 2, 0)]
    assert devices_of(None, None, found) == ["0", "2", "10"]
    assert devices_of(None, "GPU-8f,1", found) == ["GPU-8f", "1"]
    assert devices_of("1, 3", "0", found) == ["1", "3"]
    assert devices_of(None, "", found) == devices_of(None, None, found[:1]) == devices_of(None, None, []) == [None]
    with pytest.raises(UsageError, match="names a device twice"):
        devices_of("0,0", None)


def test_the_cpu_may_be_asked_for_and_gpus_by_name_are_wanted() -> None:
    assert [wanted_gpus(given) for given in (None, "", "-1")] == [None, None, None]
    assert [wanted_gpus(given) for given in ("0", "9,GPU-8f", "cpu")] == ["0", "9,GPU-8f", "cpu"]


@pytest.mark.parametrize(("loading_seconds", "signals"), [(299, []), (301, [signal.SIGKILL])])
def test_a_server_may_load_an_embedding_for_as_long_as_it_may_start(
    tmp_path: Path, loading_seconds: float, signals: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"predicting_seconds": 0.0, "loading_seconds": loading_seconds}
    sent = list[int]()
    server = ModelServerProcess(tmp_path / "socket", ModelOptions(), hangs_after_seconds=60, ready_seconds=300)
    monkeypatch.setattr(model_server_process, "stats", lambda path, timeout_seconds: counts)
    monkeypatch.setattr(server._process, "send_signal", sent.append)
    server._end_if_it_hangs()
    assert sent == signals


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
