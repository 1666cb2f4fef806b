"""`photochrom users`: who may use the pages and the HTTP API."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from db.models.access import Role
from db.queries.access import accounts
from db.session import read_scope
from scheduler.access.actor import local_actor
from scheduler.actions import users as actions
from scheduler.cli import options as shared
from scheduler.cli.common import configured_database
from scheduler.cli.display.columns import printable
from worker.errors import UsageError

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
RoleOption = Annotated[str, typer.Option(help="What the account may do.", **shared.choices(*Role.ALL))]
TokenNumber = Annotated[
    int,
    typer.Argument(
        metavar="TOKEN",
        parser=shared.row_number("the number of a token, as photochrom users tokens lists them"),
        help="The token's number.",
    ),
]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def users() -> None:
    """Manage who may use the pages and the HTTP API."""


@app.command()
def add(
    name: Name,
    role: RoleOption = Role.VIEWER,
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Show the account only jobs whose source and destination are under this place, such as s3://archive; "
            "may be repeated.",
        ),
    ] = None,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password", help="Set no password: for people whom a proxy signs in, and for programs with tokens."
        ),
    ] = False,
) -> None:
    """Add an account. The password is asked for, or read from standard input."""
    password = None if no_password else _password()
    actions.add(configured_database(), name, local_actor(), role=role, password=password, prefixes=prefix or ())
    print(f"account {name} is a {role}")


@app.command("list")
def list_accounts() -> None:
    """Show every account."""
    with read_scope(configured_database()) as session:
        rows = accounts.listed(session)
    table = Table("name", "role", "signs in by", "jobs between", "state")
    for row in rows:
        table.add_row(
            Text(printable(row.name)),
            row.role,
            "password" if row.password_hash else "proxy or token",
            Text(printable(", ".join(row.prefixes))) if row.prefixes else "all places",
            "disabled" if row.disabled_at else "enabled",
        )
    Console().print(table)


@app.command()
def password(name: Name) -> None:
    """Set an account's password. The account is signed out everywhere."""
    actions.set_password(configured_database(), name, _password(), local_actor())
    print(f"account {name} has a new password")


@app.command()
def disable(name: Name) -> None:
    """Disable an account: it can no longer sign in, and its tokens stop working."""
    actions.disable(configured_database(), name, local_actor())
    print(f"account {name} is disabled")


@app.command()
def enable(name: Name) -> None:
    """Enable a disabled account: it may sign in again, and its tokens work again."""
    actions.enable(configured_database(), name, local_actor())
    print(f"account {name} is enabled")


@app.command()
def change(
    name: Name,
    role: Annotated[
        str | None, typer.Option(help="What the account may do from now on.", **shared.choices(*Role.ALL))
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(metavar="PLACE", help="Its places from now on, in place of the earlier ones; may be repeated."),
    ] = None,
    all_places: Annotated[bool, typer.Option("--all-places", help="Show the account the jobs of all places.")] = False,
) -> None:
    """Change an account's role or places. Its password and its tokens stay."""
    if bool(prefix) and all_places:
        raise UsageError("--prefix and --all-places: expected one of the two")
    if role is None and not prefix and not all_places:
        raise UsageError(f"photochrom users change {name}: expected --role, --prefix or --all-places")
    prefixes = [] if all_places else prefix or None
    account = actions.change(configured_database(), name, local_actor(), role=role, prefixes=prefixes)
    places = ", ".join(account.prefixes) if account.prefixes else "all places"
    print(f"account {name} is a {account.role} for {places}")


@app.command()
def remove(name: Name) -> None:
    """Remove an account with its tokens. The record of what it did stays."""
    actions.remove(configured_database(), name, local_actor())
    print(f"account {name} is removed")


@app.command()
def token(
    name: Name,
    label: Annotated[str, typer.Option(help="What the token is for.")],
    role: Annotated[
        str | None,
        typer.Option(
            help="The most that the token may do; default: all that its account may do.", **shared.choices(*Role.ALL)
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="The token expires after this many days; default: never.")
    ] = None,
) -> None:
    """Make an API token for an account. It is printed once, and only its hash is kept."""
    number, secret = actions.new_token(configured_database(), name, local_actor(), label=label, role=role, days=days)
    print(f"token {number} of {name}; keep it, it is not shown again:", file=sys.stderr)
    print(secret)


@app.command()
def tokens() -> None:
    """Show every API token."""
    with read_scope(configured_database()) as session:
        rows = accounts.tokens(session)
    table = Table("token", "account", "for", "role", "expires", "state")
    for row in rows:
        expires = f"{row.expires_at:%Y-%m-%d}" if row.expires_at else "never"
        state = "revoked" if row.revoked_at else "in use"
        table.add_row(str(row.id), Text(printable(row.account)), Text(printable(row.label)), row.role, expires, state)
    Console().print(table)


@app.command()
def revoke(number: TokenNumber) -> None:
    """Revoke an API token."""
    actions.revoke_token(configured_database(), number, local_actor())
    print(f"token {number} is revoked")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer
