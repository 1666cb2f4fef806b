"""Everything that the report shows, as plain values: the page is a function of these alone. Times are UTC."""

from dataclasses import dataclass
from datetime import datetime

from worker.observability.stages import Stage

STAGES = tuple(stage.value for stage in Stage)


@dataclass(frozen=True, slots=True)
class JobFacts:
    id: int
    name: str
    source: str
    destination: str
    state: str
    aborted_because: str | None  # a sentence, of a job that stopped itself
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Times are None until a worker has recorded something."""

    scans: int
    done: int
    failed: int
    skipped: int
    pending: int
    megapixels: float  # of the scans that are done
    seconds: float  # from submission to the job's end, or to the last scan's where the job goes on
    waited_seconds: float | None  # of these, until a worker first had one of its chunks
    busy_seconds: float | None  # from then to the last scan, less every stretch of five minutes in which none ended
    scans_per_second: float | None  # that ended, in those busy seconds


@dataclass(frozen=True, slots=True)
class StageTiming:
    """One stage over all scans that went through it, in milliseconds."""

    name: str
    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Bins:
    """Counts of scans; counts[i] lies in i * width .. (i + 1) * width, the last one also holds what is above."""

    width: float  # seconds for the throughput, the unit of what is distributed else
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One error code of failed or skipped scans: how many there are, and the first of them."""

    state: str
    code: str
    count: int
    first: tuple[Problem, ...]

    @property
    def unlisted(self) -> int:
        return self.count - len(self.first)


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail as a data URI with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A scan before and after; a sentence stands in for a picture that can't be shown."""

    key: str
    group: str  # one of groups.GROUPS
    width: int
    height: int
    bit_depth: int
    colourfulness: float | None
    certainty: float | None  # 0..1
    before: Picture | str
    after: Picture | str
    output: str = ""  # where the output lies, as seen from the report; "" where that is not known
    page: str = ""  # the scan's page; "" where there is none


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ReportData:
    job: JobFacts
    totals: Totals
    stages: tuple[StageTiming, ...]
    throughput: Bins
    colourfulness: Bins
    median_colourfulness: float | None
    certainty: Bins  # none where no head gave any
    median_certainty: float | None
    uncertain: int  # results whose certainty is below what their checkpoint calls doubtful
    uncertain_below: float  # what most of their checkpoints call doubtful
    reasons: tuple[Reason, ...]
    pairs: tuple[Pair, ...]
    facts: tuple[Fact, ...]  # checkpoint, workers, options
    settings: tuple[Fact, ...]  # of the process that made the report
    made_at: datetime
