"""Everything that the report shows, as plain values. The page depends only on these. Times are UTC."""

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
    aborted_because: str | None  # a sentence, if the job was aborted
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
    seconds: float  # from submission to the end of the job, or of its last scan if it is unfinished
    waited_seconds: float | None  # of these, until a worker first claimed one of its chunks
    busy_seconds: float | None  # from then to the last scan, without pauses of five minutes or more
    scans_per_second: float | None  # scans that ended, for each of the busy seconds


@dataclass(frozen=True, slots=True)
class StageTiming:
    """One stage over all scans that went through it, in milliseconds."""

    name: str
    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Bins:
    """Counts of scans. counts[i] is for values in i * width ..

    (i + 1) * width; the last one also counts all larger values.
    """

    width: float  # seconds for the throughput; otherwise in the unit of the values
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    key: str
    message: str
    page: str = ""  # address of the scan's page; "" if there is none


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
    """A scan before and after. If a picture can't be shown, a sentence takes its place."""

    key: str
    group: str  # one of groups.GROUPS
    width: int
    height: int
    bit_depth: int
    colourfulness: float | None
    certainty: float | None  # 0..1
    before: Picture | str
    after: Picture | str
    output: str = ""  # the output's address relative to the report; "" if unknown
    page: str = ""  # address of the scan's page; "" if there is none


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
    certainty: Bins  # empty if no head gave a certainty
    median_certainty: float | None
    uncertain: int  # outputs whose certainty is below the doubtful limit of their checkpoint
    uncertain_below: float  # the most frequent doubtful limit of the checkpoints
    reasons: tuple[Reason, ...]
    pairs: tuple[Pair, ...]
    facts: tuple[Fact, ...]  # checkpoint, workers, options
    settings: tuple[Fact, ...]  # of the process that made the report
    made_at: datetime
