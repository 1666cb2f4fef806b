"""The devices of one machine, with the names that CUDA_VISIBLE_DEVICES takes."""

from collections.abc import Iterable
from pathlib import Path

from worker.errors import UsageError

CPU = "-1"  # as the CUDA device: no GPU


def devices_of(
    setting: str | None, visible: str | None, device_files: Iterable[Path] | None = None
) -> list[str | None]:
    """The devices, one for each model server; None means that TensorFlow chooses.

    setting: PHOTOCHROM_DEVICES; visible: CUDA_VISIBLE_DEVICES, which counts if the setting is None; device_files: the
    files of GPUs. Raises UsageError for a name that comes twice.
    """
    text = setting if setting is not None else visible
    if text is None:
        gpus = Path("/dev").glob("nvidia[0-9]*") if device_files is None else device_files
        names = [str(number) for number in sorted(int(path.name.removeprefix("nvidia")) for path in gpus)]
        # TensorFlow finds a single GPU by itself, and says so if it can't use it.
        return list(names) if len(names) > 1 else [None]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) < len(names):
        raise UsageError(f"PHOTOCHROM_DEVICES is {text!r}, which names a device twice; expected such as 0,1")
    return list(names) or [None]


def wanted_gpus(setting: str | None) -> str | None:
    """PHOTOCHROM_DEVICES if it names GPUs, which must then be used; None if it is not set or names the CPU."""
    return None if setting is None or setting.strip() in ("", CPU) else setting
