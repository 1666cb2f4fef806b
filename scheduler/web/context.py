"""What every route needs: the job database, the settings, and who sends the request."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from db.models.access import Role
from db.models.jobs import Job, Scan
from db.queries.archives import progress as archives
from db.queries.pages import jobs as job_pages
from db.session import read_scope
from scheduler.web.auth.identity import Identifier, Identity
from scheduler.web.auth.throttle import Throttle
from scheduler.web.errors import Forbidden, Unauthenticated
from scheduler.web.pictures.service import Pictures
from scheduler.web.temporary_files import Downloads
from worker.errors import NotFound
from worker.settings.settings import Settings

_DOWNLOADS = 2  # as many of the largest scans may be sent at the same time


@dataclass(slots=True)
class Context:
    """The shared parts; one object in each process."""

    engine: Engine
    settings: Settings
    identifier: Identifier
    pictures: Pictures
    throttle: Throttle = field(default_factory=Throttle)
    downloads: Downloads = field(init=False)

    def __post_init__(self) -> None:
        self.downloads = Downloads(_DOWNLOADS * self.settings.max_scan_bytes)

    def job(self, identity: Identity, job_id: int) -> Job:
        """The job with this number. Raises NotFound if it does not exist or this person may not see it."""
        with read_scope(self.engine) as session:
            job = job_pages.visible(session, job_id, identity.prefixes)
        if job is None:
            raise NotFound(f"there is no job {job_id}; see the list of jobs")
        return job

    def job_with_rows(self, identity: Identity, job_id: int) -> Job:
        """As `job`. Raises Conflict if the job's scans are archived; the message says where they are."""
        job = self.job(identity, job_id)
        with read_scope(self.engine) as session:
            archives.expect_rows(session, job_id)
        return job

    def scan(self, identity: Identity, job_id: int, scan_id: int) -> tuple[Job, Scan]:
        """A job and one of its scans. Raises NotFound as `job`, and if the scan is not in the job."""
        job = self.job(identity, job_id)
        with read_scope(self.engine) as session:
            scan = job_pages.visible_scan(session, job_id, scan_id, identity.prefixes)
        if scan is None and job.archive_key:
            raise NotFound(archives.archived_sentence(job))
        if scan is None:
            raise NotFound(f"job {job_id} has no scan {scan_id}; its page lists its scans")
        return job, scan


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


class Requires:
    """A dependency that gives who sends the request, and refuses them if they don't have the role.

    `role` None: everybody, signed in or not.
    """

    def __init__(self, role: str) -> None:
        self.role = role

    def __call__(self, request: Request) -> Identity:
        identity: Identity | None = context_of(request).identifier.identify(request)
        if identity is None:
            raise Unauthenticated("sign in first; programs send a token: Authorization: Bearer TOKEN")
        if not identity.may(self.role):
            raise Forbidden(f"this is for a {self.role}; {identity.name} is a {identity.role}: ask an operator")
        request.state.identity = identity
        return identity


TheContext = Annotated[Context, Depends(context_of)]
Viewer = Annotated[Identity, Depends(Requires(Role.VIEWER))]
Reviewer = Annotated[Identity, Depends(Requires(Role.REVIEWER))]
Operator = Annotated[Identity, Depends(Requires(Role.OPERATOR))]
