"""A command that signs in place of a private key, such as one for a PKCS#11 token or a cloud's key service."""

import subprocess

SIGN_SECONDS = 60


class SigningError(Exception):
    """A file can't be signed; the message says why. `may_pass`: the same may succeed later."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
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
            reason = run.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no error was printed"]
            raise SigningError(f"{program} ended with status {run.returncode}: {reason[0]}", may_pass=True)
        if not run.stdout:
            raise SigningError(f"{program} printed no signature")
        return run.stdout
