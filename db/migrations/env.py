"""Alembic's entry: runs the revisions on the engine that db.migrations.upgrade was given."""

from alembic import context

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

with session_scope(context.config.attributes["engine"]) as session:
    context.configure(connection=session.connection(), target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()
