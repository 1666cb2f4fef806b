"""Alembic's entry: runs the revisions on the engine that db.migrations.upgrade was given."""

from typing import Any

from alembic import context
from sqlalchemy import text

import db.models.access
import db.models.archives
import db.models.chunk_keys
import db.models.jobs
import db.models.notices
import db.models.outputs
import db.models.pool
import db.models.reviews
import db.models.schedules  # noqa: F401  every table is the schema's
from db.models.base import Base
from db.session import session_scope


def name_oldest_worker(ctx: Any, step: Any, *_: object, **__: object) -> None:
    """Store which workers the database supports after this revision. Revisions before 0020 do not say so."""
    oldest_worker = getattr(step.up_revision.module, "oldest_worker", None)
    if oldest_worker is not None:
        ctx.connection.execute(text("UPDATE alembic_version SET oldest_worker = :oldest"), {"oldest": oldest_worker})


with session_scope(context.config.attributes["engine"]) as session:
    context.configure(
        connection=session.connection(),
        target_metadata=Base.metadata,
        render_as_batch=True,
        on_version_apply=name_oldest_worker,
    )
    context.run_migrations()
