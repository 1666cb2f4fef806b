"""Finds who sends a request, from its headers, in this order: token, proxy, session, the user of this machine."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from db.clock import database_now
from db.models.access import Role
from db.queries.access import accounts
from db.queries.access.accounts import Grant
from db.session import read_scope
from scheduler.access.actor import Actor, local_actor
from scheduler.access.stored_secrets import secret_sha256
from scheduler.web.errors import Forbidden, Unauthenticated
from worker.errors import UsageError
from worker.settings.settings import Settings

SESSION_COOKIE = "photochrom-session"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Identity:
    """A person or a program, and what they may do. `prefixes` None: all jobs."""

    name: str
    role: str
    prefixes: Sequence[str] | None
    via: str  # local, proxy, session or token

    @property
    def actor(self) -> Actor:
        return Actor(self.name, self.via)

    def may(self, role: str) -> bool:
        return Role.ALL.index(self.role) >= Role.ALL.index(role)


def is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class Identifier:
    """Finds who sends a request, with the settings and the job database."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._proxies = proxy_networks(settings.web_proxy_addresses)
        self._url_host = host_of(settings.web_url or "")

    def identify(self, connection: HTTPConnection) -> Identity | None:
        """Who sends the request; None if they have not signed in.

        Raises Unauthenticated for an invalid token, Forbidden, DatabaseUnavailable.
        """
        authorization = connection.headers.get("authorization", "")
        if authorization.lower().startswith("bearer "):
            return self._bearer(authorization[7:].strip())
        return self._proxied(connection) or self._signed_in(connection) or self._local(connection)

    def _bearer(self, token: str) -> Identity:
        with read_scope(self._engine) as session:
            grant = accounts.token_grant(session, secret_sha256(token), now=database_now(session))
        if grant is None:
            raise Unauthenticated("this token is unknown, revoked or expired; ask an operator for another")
        return _identity(grant, "token")

    def _proxied(self, connection: HTTPConnection) -> Identity | None:
        header = self._settings.web_proxy_header
        name = connection.headers.get(header) if header else None
        if not name or not self._is_proxy(connection.client.host if connection.client else ""):
            return None
        with read_scope(self._engine) as session:
            account = accounts.get(session, name)
        if account is not None and account.disabled_at is not None:
            raise Forbidden(f"the account {name!r} is disabled; ask an operator")
        if account is not None:
            return Identity(account.name, account.role, account.prefixes, "proxy")
        if self._settings.web_proxy_role is None:
            raise Forbidden(f"{name!r} has no account here; an operator can add one: photochrom users add")
        return Identity(name[:200], self._settings.web_proxy_role, None, "proxy")

    def client_address(self, connection: HTTPConnection) -> str:
        """The address of the client. Of X-Forwarded-For, only what trusted proxies added to it counts.

        Each proxy appends the address from which it got the request. So the last address that is not a trusted proxy's
        is the client's. The addresses before it may be invented.
        """
        address = connection.client.host if connection.client else ""
        hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
        while hops and self._is_proxy(address):
            try:
                address = str(ipaddress.ip_address(hops.pop().strip()))
            except ValueError:
                break
        return address

    def _is_proxy(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def _signed_in(self, connection: HTTPConnection) -> Identity | None:
        secret = connection.cookies.get(SESSION_COOKIE)
        if not secret:
            return None
        with read_scope(self._engine) as session:
            grant = accounts.session_grant(session, secret_sha256(secret), now=database_now(session))
        return _identity(grant, "session") if grant else None

    def _local(self, connection: HTTPConnection) -> Identity | None:
        """This machine's user is the operator, as long as there is no account and no proxy and only this machine can
        connect.
        """
        if self._proxies or not is_loopback(self._settings.web_address):
            return None
        with read_scope(self._engine) as session:
            if accounts.exist(session):
                return None
        if any(name in connection.headers for name in _FORWARDED):
            raise Forbidden(
                "these pages are behind a proxy, and nobody has an account; name the proxy in "
                "PHOTOCHROM_WEB_PROXY_ADDRESSES, or make an account: photochrom users add"
            )
        # A foreign web site whose name resolves to this address must not be taken for this machine's user.
        if host_of(f"//{connection.headers.get('host', '')}") not in (*_LOOPBACK_NAMES, self._url_host):
            raise Forbidden(
                "these pages can't be opened under the address in the browser; open http://127.0.0.1 instead"
            )
        return Identity(local_actor().name, Role.OPERATOR, None, "local")


def proxy_networks(text: str | None) -> list[Network]:
    """Networks from a list of addresses. Raises UsageError for an invalid list."""
    try:
        return [ipaddress.ip_network(part.strip(), strict=False) for part in (text or "").split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(
            f"PHOTOCHROM_WEB_PROXY_ADDRESSES: {error}; expected addresses or networks, "
            "separated by commas, such as 10.0.0.2"
        ) from None


def host_of(url: str) -> str:
    """The host in an address, without its port; "" if there is none."""
    authority = url.partition("//")[2].partition("/")[0]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def _identity(grant: Grant, via: str) -> Identity:
    return Identity(grant.name, grant.role, grant.prefixes, via)
