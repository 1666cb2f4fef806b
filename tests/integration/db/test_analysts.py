"""The role in deploy/postgresql/analysts.sql reads everything and writes nothing."""

import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from db.migrations import upgrade
from db.session import make_engine
from tests.rows import make_job

SCRIPT = Path(__file__).parents[3] / "deploy" / "postgresql" / "analysts.sql"


def test_an_analyst_reads_and_cannot_write(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    make_job(engine, scan_count=2)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(2):
            connection.exec_driver_sql(SCRIPT.read_text())
        connection.exec_driver_sql("DROP ROLE IF EXISTS ada")
        for login in re.findall(r"(?m)^--   (.*;)$", SCRIPT.read_text()):
            connection.exec_driver_sql(login)
    engine.dispose()
    as_analyst = create_engine(make_url(postgresql_url).set(username="ada", password="..."))

    with as_analyst.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "5min"
        assert (
            connection.scalar(text("SELECT setting FROM pg_settings WHERE source = 'user' AND name = 'TimeZone'"))
            == "UTC"
        )
        assert connection.scalar(text("SELECT count(*) FROM scan JOIN chunk ON chunk.id = scan.chunk_id")) == 2
        assert connection.scalar(text("SELECT scans FROM job_progress")) == 2
    for statement in ("UPDATE scan SET state = 'done'", "DELETE FROM job", "CREATE TABLE mine (id int)"):
        with as_analyst.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))
    as_analyst.dispose()
