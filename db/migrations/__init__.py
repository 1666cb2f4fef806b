"""The schema's history: checks whether a database is up to date, and brings it up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event

from db.errors import UsageError
from db.session import address, make_engine, read_scope


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`, in one transaction; raises DatabaseUnavailable."""
    _expect_known_revision(engine, current_revision(engine))
    config = _config()
    config.attributes["engine"] = _without_cascades(engine)
    command.upgrade(config, revision)


def _without_cascades(engine: Engine) -> Engine:
    """To change a table, SQLite makes a new one and drops the old one. With cascades, this would delete all rows that
    refer to it.
    """
    if engine.dialect.name != "sqlite":
        return engine
    own = make_engine(engine.url.render_as_string(hide_password=False))
    event.listen(own, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = OFF"))
    return own


def current_revision(engine: Engine) -> str | None:
    """The database's revision, None for an empty one; raises DatabaseUnavailable."""
    with read_scope(engine) as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def check_up_to_date(engine: Engine) -> None:
    """Raises UsageError if the database's revision does not fit this version's code, and DatabaseUnavailable."""
    _expect_file(engine)
    current, head = current_revision(engine), _history().get_current_head()
    if current == head:
        return
    _expect_known_revision(engine, current)
    found = f"is at revision {current}" if current else "has no Photochrom tables"
    raise UsageError(f"the database {address(engine)} {found}, expected revision {head}; run: photochrom db upgrade")


def _expect_file(engine: Engine) -> None:
    """Raises UsageError if there is no file: for a mistyped path, SQLite would make an empty one."""
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        raise UsageError(
            f"there is no database {address(engine)}; photochrom db upgrade makes one, "
            "if PHOTOCHROM_DATABASE_URL is as you mean it"
        )


def _expect_known_revision(engine: Engine, current: str | None) -> None:
    if current is not None and current not in {script.revision for script in _history().walk_revisions()}:
        raise UsageError(
            f"the database {address(engine)} is at revision {current}, newer than this version of Photochrom knows; "
            "install the version that the other machines run"
        )


def _history() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
