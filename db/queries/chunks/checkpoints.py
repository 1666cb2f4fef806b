"""Which workers may colour a job that is meant for one checkpoint.

A worker's checkpoint is known by the id of its weight files, followed by the head and the embedding where they are not
the card's own: `75a72e5a7516-vivid`. All heads and embeddings come with the files, so a job that names its head and its
embedding is served by every worker that has the files.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_

from db.models.jobs import Job
from db.models.pool import Worker

# The checkpoint that a job requires; NULL if a worker with any checkpoint may colour it.
_WANTED: ColumnElement[str] = Job.options["checkpoint"].as_string()


def serves_job() -> ColumnElement[bool]:
    """The condition that the row of Worker serves the row of Job. It is also true if the job requires no checkpoint."""
    names_both = and_(Job.options["head"].as_string().is_not(None), Job.options["embedding"].as_string().is_not(None))
    files: ColumnElement[bool] = func.substr(Worker.checkpoint, 1, func.length(_WANTED) + 1) == _WANTED.concat("-")
    return or_(_WANTED.is_(None), Worker.checkpoint == _WANTED, and_(names_both, files))


def is_free_to_all() -> ColumnElement[bool]:
    """The condition that the row of Job requires no checkpoint."""
    return _WANTED.is_(None)


def serves(checkpoint: str | None, options: Mapping[str, Any]) -> bool:
    """Whether a worker with this checkpoint serves a job with these options."""
    job_checkpoint = options.get("checkpoint")
    if job_checkpoint is None or checkpoint == job_checkpoint:
        return True
    names_both = options.get("head") is not None and options.get("embedding") is not None
    return names_both and (checkpoint or "").startswith(f"{job_checkpoint}-")
