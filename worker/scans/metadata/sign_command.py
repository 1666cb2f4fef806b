"""A command that signs in place of a private key, such as one for a PKCS#11 token or a cloud's key service."""

import logging
import re
import subprocess

from worker.storage.locations import without_secrets

logger = logging.getLogger(__name__)

SIGN_SECONDS = 60
_MAX_REASON = 200  # characters
# Tools for keys repeat their options and addresses in errors: pin-value=1234, VAULT_TOKEN=s.abc, --pin 1234.
_SECRET = re.compile(
    r"""((?:pin|passw|passphrase|secret|token|credential|api.?key)[\w-]*=|--[\w-]*(?:pin|passw)[\w-]*\s+)"""
    r"""('[^']*'|"[^"]*"|\S+)""",
    re.IGNORECASE,
)


class SigningError(Exception):
    """A file can't be signed; the message says why, without secrets. `may_pass`: the same may succeed later."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(_hidden(message))
        self.may_pass = may_pass


class SignCommand:
    """Gives the bytes to sign to the command and returns the raw signature that it prints.

    C2PA's library hides what its callback raises. So `error` keeps the last error.
    """

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments
        self.error: SigningError | None = None

    def __call__(self, data: bytes) -> bytes:
        """Raises SigningError."""
        try:
            return self._run(data)
        except SigningError as error:
            self.error = error
            raise

    def _run(self, data: bytes) -> bytes:
        program = self._arguments[0]
        try:
            run = subprocess.run(self._arguments, input=data, capture_output=True, check=False, timeout=SIGN_SECONDS)
        except OSError as error:
            raise SigningError(f"{program} can't be run ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise SigningError(f"{program} printed no signature within {SIGN_SECONDS} s", may_pass=True) from None
        if run.returncode:
            reason = _reason(program, run.stderr.decode("utf-8", "replace"))
            raise SigningError(f"{program} ended with status {run.returncode}: {reason}", may_pass=True)
        if not run.stdout:
            raise SigningError(f"{program} printed no signature")
        return run.stdout


def _reason(program: str, errors: str) -> str:
    """The last line that the command printed, as it may be stored: without secrets, and not longer than a sentence."""
    line = (errors.strip().splitlines() or ["no error was printed"])[-1]
    shown = _hidden(line)
    if len(shown) <= _MAX_REASON:
        return shown
    if shown == line:
        logger.warning("%s printed: %s", program, line)
    return f"{shown[:_MAX_REASON]}..."


def _hidden(line: str) -> str:
    """The line without PINs, passwords, tokens, and what of a URL is secret."""
    text = _SECRET.sub(r"\1***", line)
    text = re.sub(r"\S*(?:://|:\S*@)\S*", lambda word: _hidden_word(word[0]), text)
    return text if text.isprintable() else ascii(text)[1:-1]


def _hidden_word(word: str) -> str:
    return without_secrets(word) if "://" in word else f"***@{word.rpartition('@')[2]}"
