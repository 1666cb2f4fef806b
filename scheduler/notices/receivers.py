"""Receivers of notices: signed webhooks, and everything that the Apprise library can reach."""

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import apprise
import httpx

from worker.errors import ServiceUnavailable, UsageError
from worker.settings.settings import Settings
from worker.storage.locations import without_secrets

_WEBHOOKS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver. `id` names it in the outbox, because its address may contain a password.

    `send` raises ServiceUnavailable.
    """

    id: str
    shown: str
    send: Callable[[str, datetime, dict[str, Any]], None]


def receivers(settings: Settings) -> list[Receiver]:
    """The receivers in PHOTOCHROM_NOTICES, addresses separated by spaces. Raises UsageError for an invalid address."""
    if settings.notices is None:
        return []
    secret = settings.notices_secret.get_secret_value() if settings.notices_secret else None
    return [_receiver(address, secret, settings) for address in settings.notices.get_secret_value().split()]


def _receiver(address: str, secret: str | None, settings: Settings) -> Receiver:
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    if address.startswith(_WEBHOOKS):
        if secret is None:
            raise UsageError(
                "PHOTOCHROM_NOTICES names a webhook; set PHOTOCHROM_NOTICES_SECRET, which signs its notices"
            )
        webhook = _Webhook(address, secret, settings.web_url or "photochrom", settings.notices_answer_seconds)
        return Receiver(name, _shown(address), webhook.post)
    if not apprise.Apprise().add(address):
        scheme = address.partition(":")[0]
        raise UsageError(
            f"PHOTOCHROM_NOTICES: {scheme}:... is not an address that Apprise knows; expected one such as mailto://..."
        )
    return Receiver(name, f"{address.partition(':')[0]}://...", lambda _, __, content: _notify(address, content))


def _shown(address: str) -> str:
    """An address as it may be shown: only scheme and host, because the path of a webhook is often a secret."""
    try:
        host = urlsplit(address).hostname or "..."
    except ValueError:
        host = "..."
    return without_secrets(f"{address.partition(':')[0]}://{host}")


@dataclass(frozen=True, slots=True)
class _Webhook:
    """CloudEvents 1.0 in JSON; the signature is the HMAC-SHA256 of the body, in hexadecimal."""

    address: str
    secret: str
    source: str
    answer_seconds: float

    def post(self, event: str, found_at: datetime, content: dict[str, Any]) -> None:
        """Raises ServiceUnavailable unless the answer's status says success. The body of the answer is not read."""
        body = json.dumps(
            {
                "specversion": "1.0",
                "id": event,
                "source": self.source,
                "type": f"org.photochrom.{content['kind']}",
                "time": found_at.isoformat(),
                "datacontenttype": "application/json",
                "data": content,
            }
        ).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/cloudevents+json", "x-photochrom-signature": f"sha256={signature}"}
        logging.getLogger("httpx").setLevel(logging.WARNING)  # its log lines contain whole addresses
        timeout = self.answer_seconds
        try:
            with httpx.stream("POST", self.address, content=body, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    raise ServiceUnavailable(f"it answered {answer.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceUnavailable(f"it can't be reached ({type(error).__name__})") from None


def _notify(address: str, content: dict[str, Any]) -> None:
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its log lines may contain secrets from addresses
    service = apprise.Apprise()
    service.add(address)
    link = f"\n{content['link']}" if content["link"] else ""
    if not service.notify(title=content["title"], body=content["text"] + link):
        raise ServiceUnavailable("Apprise could not send it; check the address, and that its service can be reached")
