"""Looks for notices that this machine will be taken away: from spot and preemptible instances, or from an operator.

| where | is asked | a notice is |
|---|---|---|
| `aws` | the instance metadata service (IMDSv2), spot/instance-action | an answer; 404 is none |
| `gcp` | the metadata server, instance/preempted | TRUE |
| a URL | with both services' headers, by GET | an answer but FALSE; 404 is none |
| a path | whether a file is there | the file |
"""

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

logger = logging.getLogger(__name__)

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
# https://cloud.google.com/compute/docs/instances/create-use-preemptible
_KNOWN = {
    "aws": "http://169.254.169.254/latest/meta-data/spot/instance-action",
    "gcp": "http://metadata.google.internal/computeMetadata/v1/instance/preempted",
}
_TOKEN_PATH = "/latest/api/token"  # noqa: S105 - where IMDSv2 gives one
_TOKEN_SECONDS = 21_600
_ANSWER_SECONDS = 2.0
_MOST_BYTES = 4_096


class StopNotice:
    """Looks at `where` every `every_seconds` in a separate thread, and calls `heard` with the first notice."""

    def __init__(self, where: str, every_seconds: float, heard: Callable[[str], None]) -> None:
        self._where = _KNOWN.get(where, where)
        self._every_seconds, self._heard = every_seconds, heard
        # These addresses are local to this machine, so a proxy can't reach them.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token: str | None = None
        self._trouble = ""

    def start(self) -> None:
        threading.Thread(target=self._watch, name="stop-notice", daemon=True).start()

    def look(self) -> str | None:
        """The notice; None if there is none. If the place does not answer, this is logged once for each reason."""
        try:
            notice = self._ask() if self._where.startswith(("http://", "https://")) else self._read()
        except (OSError, HTTPException, ValueError) as error:
            self._complain(str(error))
            return None
        self._trouble = ""
        return notice

    def _watch(self) -> None:
        pause = threading.Event()
        while (notice := self.look()) is None:
            pause.wait(self._every_seconds)
        self._heard(notice)

    def _read(self) -> str | None:
        path = Path(self._where)
        return path.read_text(errors="replace")[:_MOST_BYTES] or str(path) if path.exists() else None

    def _ask(self) -> str | None:
        try:
            return self._get()
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            self._token = None  # it has expired, or there was none
        self._token = self._new_token()
        return self._get()

    def _get(self) -> str | None:
        headers = {"Metadata-Flavor": "Google"}
        if self._token:
            headers["X-aws-ec2-metadata-token"] = self._token
        request = urllib.request.Request(self._where, headers=headers)  # noqa: S310 - only http(s) comes here
        try:
            answer = self._open(request)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return None if answer.upper() == "FALSE" else answer or "an empty notice"

    def _new_token(self) -> str:
        parts = urlsplit(self._where)
        url = urlunsplit((parts.scheme, parts.netloc, _TOKEN_PATH, "", ""))
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        return self._open(urllib.request.Request(url, method="PUT", headers=headers))  # noqa: S310

    def _open(self, request: urllib.request.Request) -> str:
        with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
            return str(answer.read(_MOST_BYTES).decode(errors="replace")).strip()

    def _complain(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            logger.warning("PHOTOCHROM_STOP_NOTICE can't be read (%s); trying again", reason)
