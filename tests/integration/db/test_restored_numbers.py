"""docs/backup.md: after a restore, new jobs do not get the numbers of jobs that were lost."""

import re
import uuid
from pathlib import Path

from sqlalchemy import make_url, text

from db.migrations import upgrade
from db.session import make_engine, session_scope
from tests.rows import make_job
from tests.services import PostgreSQLServer

PAGE = Path(__file__).parents[3] / "docs" / "backup.md"


def test_the_numbers_of_lost_jobs_are_not_given_again(
    postgresql_url: str, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    make_job(engine, scan_count=1)
    postgresql_server.dump(make_url(postgresql_url).database or "", tmp_path / "photochrom.dump")
    lost = [make_job(engine, scan_count=1) for _ in range(3)]
    engine.dispose()

    name = f"restored_{uuid.uuid4().hex}"
    postgresql_server.restore(tmp_path / "photochrom.dump", name)
    restored = make_engine(postgresql_server.url(name))
    [statement] = re.findall(r'psql .* --command "(.*)"', PAGE.read_text("utf-8"))
    with session_scope(restored) as session:
        session.execute(text(statement))

    assert make_job(restored, scan_count=1) > max(lost)
    restored.dispose()
