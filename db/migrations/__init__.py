"""The schema's history: checks whether a database is up to date, and brings it up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

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
    """Raises UsageError if the database's revision does not fit this version's code, and DatabaseUnavailable.

    Workers are judged by WorkerSupport.
    """
    _expect_file(engine)
    current, head = current_revision(engine), _history().get_current_head()
    if current == head:
        return
    _expect_known_revision(engine, current)
    state = f"is at revision {current}" if current else "has no Photochrom tables"
    raise UsageError(f"the database {address(engine)} {state}, expected revision {head}; run: photochrom db upgrade")


class WorkerSupport:
    """Whether the database supports workers of this version, at their start and while they run.

    During a rolling upgrade, old workers work with a database of a later revision, which their code does not know. So
    the database names the oldest revision whose workers it supports, and a worker looks for that one in its own
    history.
    """

    def __init__(self, engine: Engine) -> None:
        history = _history()
        self._engine = engine
        self._revisions = frozenset(script.revision for script in history.walk_revisions())
        self.head = str(history.get_current_head())  # the revision of this version's code

    def check_at_start(self) -> str:
        """Returns "", or a sentence if the database is newer than this worker and supports it.

        Raises UsageError if the database is older than this version, or newer and does not support this worker, and
        DatabaseUnavailable.
        """
        _expect_file(self._engine)
        current = current_revision(self._engine)
        if current is None or current in self._revisions:
            check_up_to_date(self._engine)
            return ""
        with read_scope(self._engine) as session:
            return self._expect_support(session, current)

    def check_again(self, session: Session) -> str:
        """As `check_at_start`, with one cheap query, and without a look at whether the database is older."""
        current = session.scalar(text("SELECT version_num FROM alembic_version"))
        return "" if current is None or current in self._revisions else self._expect_support(session, current)

    def _expect_support(self, session: Session, current: str) -> str:
        oldest = session.scalar(text("SELECT oldest_worker FROM alembic_version"))
        database = f"the database {address(self._engine)} is at revision {current}"
        if oldest in self._revisions:
            return (
                f"{database}, newer than this worker's {self.head}, and supports this worker until a later upgrade; "
                "install the version that the other machines run, and start the worker again"
            )
        raise UsageError(
            f"{database} and supports workers from revision {oldest or current} on, but this worker has {self.head}; "
            "install the version that the other machines run, and start the worker again"
        )


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
