"""Samples: which scans are coloured first, and in which ways."""

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries.jobs import lifecycle, samples
from db.queries.jobs.samples import Choice
from worker.errors import UsageError
from worker.inference.colour_options import HEADS, ColourOptions

MOST_SCANS, MOST_CHOICES = 500, 12
CHUNK_SCANS = 4  # small, so that all workers of the pool work on a sample


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A request for `count` scans, each coloured with every head and every saturation.

    If there are none, the job's option is used.

    Raises UsageError for invalid values.
    """

    count: int
    heads: tuple[str, ...] = ()
    saturations: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SCANS:
            raise UsageError(f"--sample {self.count}: expected 1 to {MOST_SCANS} scans")
        if len(self.choices()) > MOST_CHOICES:
            raise UsageError(f"the sample has {len(self.choices())} choices; expected at most {MOST_CHOICES}")

    def choices(self) -> list[Choice]:
        choices = []
        for head in self.heads or (None,):
            for saturation in self.saturations or (None,):
                options = ColourOptions(head, None, 1.0 if saturation is None else saturation).as_job_options()
                if saturation is not None:
                    options["saturation"] = saturation
                words = [head or "", "" if saturation is None else f"{saturation:g}"]
                choices.append(Choice(" ".join(filter(None, words)) or "as asked", options))
        return choices


def parse_sample(count: int | None, heads: str | None, saturations: str | None) -> SampleRequest | None:
    """A request from texts with commas, `paper,vivid` and `1.0,1.3`; None without a count. Raises UsageError."""
    if count is None:
        if heads or saturations:
            raise UsageError("--heads and --saturations are for a sample; give --sample N too")
        return None
    names = tuple(dict.fromkeys(name.strip() for name in (heads or "").split(",") if name.strip()))
    if unknown := [name for name in names if name not in HEADS]:
        raise UsageError(f"--heads {unknown[0]}: expected some of {', '.join(HEADS)}, with commas")
    try:
        numbers = tuple(dict.fromkeys(float(text) for text in (saturations or "").split(",") if text.strip()))
    except ValueError:
        raise UsageError(f"--saturations {saturations}: expected numbers with commas, such as 1.0,1.3") from None
    return SampleRequest(count, names, numbers)


def begin_sample(session: Session, job_id: int, request: SampleRequest, *, scan_count: int) -> list[int]:
    """Insert the jobs of the sample. Call it in the transaction in which the job begins to wait.

    scan_count: how many of its scans can be coloured; at least 1.
    """
    job = lifecycle.get(session, job_id)
    offset = random.Random(f"{request.seed}/{job.source}").random()
    scans = samples.spread(session, job_id, request.count, scan_count=scan_count, offset=offset)
    now = database_now(session)
    return samples.add(session, job, scans, request.choices(), chunk_scans=CHUNK_SCANS, now=now)


def chosen_options(head: str | None, saturation: float | None) -> dict[str, Any]:
    """The options for the row of an approved job. Raises UsageError."""
    options = ColourOptions(head, None, 1.0 if saturation is None else saturation).as_job_options()
    return options if saturation is None else {**options, "saturation": saturation}
