"""The roles of deploy/postgresql, in a database of the tests, and logins that have them."""

import re
from pathlib import Path

from sqlalchemy import make_url

from db.session import make_engine

SCRIPTS = Path(__file__).parents[1] / "deploy" / "postgresql"
_LOGIN = re.compile(r"CREATE ROLE (\w+) LOGIN PASSWORD '\.\.\.' IN ROLE \w+;")


def url_as(script: str, database_url: str) -> str:
    """Run this script as its comments say, and return the URL of the database for the login that they make."""
    text = (SCRIPTS / script).read_text("utf-8")
    login = _LOGIN.search(text)
    assert login is not None
    owner = make_engine(database_url)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(2):
            connection.exec_driver_sql(text)
        # The server keeps roles longer than a test keeps its database.
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {login[1]}")
        connection.exec_driver_sql(login[0])
    owner.dispose()
    return make_url(database_url).set(username=login[1], password="...").render_as_string(hide_password=False)
