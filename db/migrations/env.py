"""Alembic's entry: runs the revisions on the engine that db.migrations.upgrade was given."""

from alembic import context

import db.review_models
import db.schedule_models  # noqa: F401  their tables are the schema's too
from db.models import Base
from db.session import session_scope

with session_scope(context.config.attributes["engine"]) as session:
    context.configure(connection=session.connection(), target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()
