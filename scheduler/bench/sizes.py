"""The sizes of a bench. With the defaults it takes about half an hour on two cores."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.settings.model_options import CPU_BATCH_SIZE
from worker.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Sizes:
    scans: int = 192  # for a worker with the model
    host_scans: int = 512  # for a worker with the stand-in
    memory_scans: int = 2_000
    rows: int = 100_000  # scans without pixels
    megapixels: float = 1.0
    compose_megapixels: float = 12.0
    tiff_megapixels: float = 50.0  # of the TIFFs whose processor time is measured
    large_megapixels: float = 100.0  # of the TIFF whose memory is measured
    turn_seconds: float = 5.0  # how long each side works before the other one takes its turn
    turns: int = 5  # for parts that use no scans of a job
    chunks: int = 12
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
    model: bool = True  # False: use a stand-in, to try the bench out


@dataclass(frozen=True, slots=True)
class Bench:
    """The values that every part of the bench gets."""

    folder: Path
    sizes: Sizes
    settings: Settings
    cores: int
    say: Callable[[str], None]
    postgresql_url: str | None = None
    variants: bool = False

    @property
    def batch_size(self) -> int:
        """Scans in a batch; the same for both sides of a comparison."""
        return self.settings.batch_size or CPU_BATCH_SIZE
