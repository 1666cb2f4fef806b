"""Submits a job: lists a collection and inserts its scans."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.jobs import Job, JobState
from db.models.schedules import FiringState
from db.queries import schedules
from db.queries.access import audit
from db.queries.jobs import lifecycle, submissions
from db.queries.jobs.lifecycle import NewScan
from db.queries.jobs.submissions import SubmissionAttempt
from db.queries.pool.throughput import Pace, recent_pace
from db.queries.schedules import FiringLease
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.report import REPORTS
from scheduler.submission.existing_outputs import ExistingOutputs
from scheduler.submission.lister import PAGE_SCANS, Lister
from scheduler.submission.manifest_file import manifest_version
from scheduler.submission.request import Submission, Submitted, covers, same_options
from scheduler.submission.sampling import begin_sample
from scheduler.text import counted
from worker.errors import CredentialsRefused, PhotochromError, ServiceUnavailable, UsageError
from worker.scans import is_scan_key
from worker.scans.format_names import scan_extensions
from worker.storage import FolderLocation, Location, S3Options, Storage, open_storage, overlap, parse_location
from worker.storage.folder.listing import is_missing, may_pass

__all__ = ["PAGE_SCANS", "Submission", "Submitted", "Submitter", "expect_a_scan", "open_both"]


# A person who submits may have the right to write reports, and no other.
_TRIAL_KEY = f"{REPORTS}photochrom-trial-in-parts.txt"


def open_both(request: Submission, s3: S3Options) -> tuple[Storage, Storage]:
    """Open and check the source and the destination.

    Raises UsageError if they can't be used together, and ServiceUnavailable.
    """
    source, destination = parse_location(request.source), parse_location(request.destination)
    if overlap(source, destination):
        raise UsageError(
            f"the source {request.source} and the destination {request.destination} overlap; "
            "choose a destination outside the source, so that no output can replace a scan"
        )
    opened = open_storage(source, s3=s3, is_source=True), open_storage(destination, s3=s3)
    opened[0].check()
    if not _is_new_folder(destination):
        opened[1].check()
    return opened


def _is_new_folder(location: Location) -> bool:
    """Whether the destination is a folder that does not exist yet. Submitting makes it.

    Workers don't, because on their machine the folder may only not be mounted.
    """
    return isinstance(location, FolderLocation) and is_missing(location.path)


def _make_destination(location: Location) -> None:
    if isinstance(location, FolderLocation):
        try:
            location.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if may_pass(error):
                raise ServiceUnavailable(f"the destination {location.uri} can't be made ({error.strerror})") from None
            raise UsageError(f"the destination {location.uri} can't be made ({error.strerror}); name another") from None


class Interrupted(PhotochromError):
    """A person stopped the command; nothing is lost."""

    exit_status = 130


class Submitter:
    """Submits to one database.

    checkpoints: gives the ids of the checkpoints that would colour a scan now; called only if unchanged outputs are
    left out. progress: called from time to time with the counts so far. actor: who submits, for the job's row and the
    audit rows; None for a schedule. lease: of the schedule's firing; `submit` raises LeaseLost once it is lost. The
    start of the job also finishes the firing, so no job runs of which its firing does not know.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        s3: S3Options,
        chunk_scans: int,
        checkpoints: Callable[[], Sequence[str]],
        progress: Callable[[Submitted], None] = lambda _: None,
        actor: Actor | None = None,
        lease: FiringLease | None = None,
    ) -> None:
        self._engine = engine
        self._actor = actor
        self._lease = lease
        self._submitted_by = actor.name if actor else schedules.submitter(lease.schedule.name) if lease else None
        self._s3 = s3
        self._chunk_scans = chunk_scans
        self._checkpoints = checkpoints
        self._progress = progress

    def submit(self, request: Submission) -> Submitted:
        """List the source and insert its scans as a job. Workers begin when the listing is complete.

        If it is stopped, the next submission of the same job continues it. Raises UsageError if a location can't be
        used or has no scan, and then leaves no job; ServiceUnavailable, and then keeps the job.
        """
        source, destination = open_both(request, self._s3)
        destination.check_large_uploads(_TRIAL_KEY)
        attempt = self._begin(request, source, destination)
        if isinstance(attempt, Submitted):
            return attempt
        submitted = Submitted(job_id=attempt.job_id, resumed=attempt.before is not None)
        try:
            self._insert_all(request, source, destination, attempt, submitted)
        except CredentialsRefused as error:  # they were accepted above, so they have expired since
            raise ServiceUnavailable(f"{error.message}; {_kept(attempt)}") from error
        except UsageError:
            self._remove(attempt)
            raise
        except ServiceUnavailable as error:
            raise type(error)(f"{error.message}; {_kept(attempt)}") from error
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {_kept(attempt)}") from None
        if not submitted.scans:
            self._remove(attempt)
            submitted.job_id = None
        return submitted

    def submit_later(self, request: Submission) -> Submitted:
        """Insert the job and return at once. A scheduler lists its source later. Raises as `submit`."""
        source, destination = open_both(request, self._s3)
        destination.check_large_uploads(_TRIAL_KEY)
        selection = self._selection(request)
        with session_scope(self._engine) as session:
            job_id, _ = self._find_or_create(session, request, selection, source, destination)
            now = database_now(session)
            is_left = submissions.leave_to_schedulers(
                session, job_id, request.as_json(), submitted_by=self._submitted_by, now=now
            )
        return Submitted(job_id=job_id, already=not is_left)

    def go_on(self, request: Submission, attempt: SubmissionAttempt) -> Submitted:
        """List what `submit_later` was asked for. Raises UsageError, ServiceUnavailable; what was listed is kept."""
        source, destination = open_both(request, self._s3)
        submitted = Submitted(job_id=attempt.job_id, resumed=attempt.number > 1)
        self._insert_all(request, source, destination, attempt, submitted)
        return submitted

    def dry_run(self, request: Submission) -> Submitted:
        """Only list and count, and estimate how long it would take. Raises as `submit`."""
        source, destination = open_both(request, self._s3)
        submitted = Submitted(dry_run=True)
        with self._lister(request, source, destination, submitted) as lister:
            for _ in lister.pages():
                pass
        _expect_scans(request, source, submitted)
        with read_scope(self._engine) as session:
            submitted.pace = recent_pace(session, format=request.format)
        submitted.hours = hours(submitted, submitted.pace)
        return submitted

    def _begin(self, request: Submission, source: Storage, destination: Storage) -> SubmissionAttempt | Submitted:
        """A new listing, a listing to continue, or the result if an unfinished job does the same already."""
        selection = self._selection(request)
        with session_scope(self._engine) as session:
            job_id, is_new = self._find_or_create(session, request, selection, source, destination)
            if is_new:
                return SubmissionAttempt(job_id, 0, None)
            name = request.name or source.uri
            again = submissions.take_over(
                session, job_id, name=name, priority=request.priority, submitted_by=self._submitted_by
            )
            return again or Submitted(job_id=job_id, already=True)

    def _selection(self, request: Submission) -> dict[str, Any] | None:
        if not request.manifest:
            return request.selection(None)
        return request.selection(manifest_version(request.manifest, request.source, self._s3))

    def _find_or_create(
        self,
        session: Session,
        request: Submission,
        selection: dict[str, Any] | None,
        source: Storage,
        destination: Storage,
    ) -> tuple[int, bool]:
        """The job that does the same and has not ended, or a new one; and whether it is new."""

        def same(job: Job) -> bool:
            if (job.source, job.destination) != (source.uri, destination.uri):
                return False
            whole = job.selection == selection if job.state == JobState.SUBMITTING else covers(job.selection, selection)
            return whole and same_options(job.options, request.options)

        submissions.lock(session)
        self._hold(session)
        same_job = submissions.same_job(session, same)
        if same_job is not None:
            self._abandon_others(session, same_job.id)
            return same_job.id, False
        job_id = lifecycle.create(
            session,
            name=request.name or source.uri,
            source=source.uri,
            destination=destination.uri,
            options=request.options,
            selection=selection,
            priority=request.priority,
            now=database_now(session),
            submitted_by=self._submitted_by,
        )
        if self._actor:
            self._note(session, job_id, self._actor)
        self._abandon_others(session, job_id)
        return job_id, True

    def _hold(self, session: Session) -> None:
        """Raises LeaseLost if this submitter lists for a firing that another scheduler has, or that has ended."""
        if self._lease:
            schedules.hold(session, self._lease)

    def _abandon_others(self, session: Session, job_id: int) -> None:
        """Cancel the schedule's other jobs whose listing was stopped. They differ from this one, so nobody goes on.

        Only the holder of the firing's lease lists for a schedule, so nobody lists them now.
        """
        if self._lease:
            name = schedules.submitter(self._lease.schedule.name)
            problem = f"what its schedule submits has changed since; job {job_id} lists the source from the start"
            submissions.abandon(session, name, problem, but=job_id, now=database_now(session))

    def _note(self, session: Session, job_id: int, actor: Actor) -> None:
        audit.note(session, actor.name, actor.via, "submit", now=database_now(session), job_id=job_id)

    def _insert_all(
        self,
        request: Submission,
        source: Storage,
        destination: Storage,
        attempt: SubmissionAttempt,
        submitted: Submitted,
    ) -> None:
        with self._lister(request, source, destination, submitted) as lister:
            before = attempt.before or {}
            after = str(before.get("position", "")) if lister.goes_on else ""
            if after:
                submitted.restore(before)
            for page in lister.pages(after):
                self._insert(destination, attempt, page, {"position": lister.position, **submitted.progress()})
        _expect_scans(request, source, submitted)
        if submitted.scans:
            with session_scope(self._engine) as session:
                self._hold(session)
                allowed = request.failures_allowed(submitted.to_colour, archived=submitted.archived)
                sample = request.sample if submitted.to_colour else None
                state = JobState.SAMPLED if sample else JobState.RUNNING
                submissions.start(session, attempt, other_count=submitted.others, max_failures=allowed, state=state)
                audit.note(
                    session,
                    self._actor.name if self._actor else "scheduler",
                    self._actor.via if self._actor else "local",
                    "listed",
                    now=database_now(session),
                    job_id=attempt.job_id,
                    detail={"scans": submitted.scans, "archived": submitted.archived},
                )
                if sample:
                    submitted.samples = begin_sample(session, attempt.job_id, sample, scan_count=submitted.to_colour)
                if self._lease:
                    sentence = submitted.sentence()
                    schedules.finish(
                        session, self._lease, FiringState.SUBMITTED, job_id=attempt.job_id, message=sentence
                    )

    def _insert(
        self, destination: Storage, attempt: SubmissionAttempt, page: Sequence[NewScan], position: dict[str, Any]
    ) -> None:
        if page:
            _make_destination(parse_location(destination.uri))
        with session_scope(self._engine) as session:
            submissions.advance(session, attempt, position)
            if attempt.before is not None:
                inserted = submissions.inserted(session, attempt.job_id, [scan.output_key for scan in page])
                # A different scan with the same output was not inserted before, so it is refused as in the first
                # attempt.
                page = [scan for scan in page if (scan.source_key, scan.output_key) not in inserted]
            if page:
                now = database_now(session)
                lifecycle.add_scans(session, attempt.job_id, page, chunk_scans=self._chunk_scans, now=now)

    @contextmanager
    def _lister(
        self, request: Submission, source: Storage, destination: Storage, submitted: Submitted
    ) -> Iterator[Lister]:
        is_new = _is_new_folder(parse_location(request.destination))
        existing = ExistingOutputs(
            self._engine, request, source, destination, is_new=is_new, checkpoints=self._checkpoints
        )
        with closing(existing):
            yield Lister(request, source, submitted, s3=self._s3, sort=existing.sort, progress=self._progress)

    def _remove(self, attempt: SubmissionAttempt) -> None:
        with session_scope(self._engine) as session:
            submissions.remove(session, attempt)


def _kept(attempt: SubmissionAttempt) -> str:
    job = attempt.job_id
    return f"what was listed so far is kept as job {job}: submit the same again to continue, or photochrom cancel {job}"


def hours(submitted: Submitted, pace: Pace | None) -> tuple[float, float] | None:
    """The hours that this many scans, and this many bytes, would take at this pace; the smaller number first."""
    if pace is None:
        return None
    by_scans = submitted.to_colour / pace.scans_per_second / 3600
    to_read = submitted.bytes - submitted.archived_bytes
    by_bytes = to_read / pace.bytes_per_second / 3600 if to_read and pace.bytes_per_second else by_scans
    return min(by_scans, by_bytes), max(by_scans, by_bytes)


def _expect_scans(request: Submission, source: Storage, submitted: Submitted) -> None:
    left_out = submitted.present + submitted.underway + submitted.accepted + submitted.damaged
    if submitted.scans or left_out or submitted.archived_before:
        return
    if submitted.unwanted:
        raise UsageError(f"--include and --exclude leave none of {submitted.unwanted} scans; correct the patterns")
    raise _no_scan(f"the manifest {request.manifest}" if request.manifest else source.uri, submitted.others)


def expect_a_scan(source: Storage) -> None:
    """Raises UsageError if the source has no scan."""
    other_count = 0
    for stored in source.list():
        if is_scan_key(stored.key):
            return
        other_count += 1
    raise _no_scan(source.uri, other_count)


def _no_scan(where: str, other_count: int) -> UsageError:
    content = f"{counted(other_count, 'file')} and no scan" if other_count else "nothing"
    endings = ", ".join(f".{extension}" for extension in scan_extensions())
    return UsageError(f"{where} holds {content}; expected files that end in {endings}; check the location")
