"""What a sign command prints when it fails, as it is stored in a scan's row."""

import logging
import sys

import pytest

from worker.scans.metadata.sign_command import SignCommand, SigningError


def message_after(line: str) -> str:
    """The error's message after a command printed `line`, and before it another one, and failed."""
    program = "import sys; sys.stderr.write('first line\\n' + sys.argv[1] + '\\n'); sys.exit(3)"
    with pytest.raises(SigningError) as failed:
        SignCommand((sys.executable, "-c", program, line))(b"")
    return str(failed.value).partition("status 3: ")[2]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("the token is not there", "the token is not there"),
        ("CKR_PIN_INCORRECT at slot 3: wrong PIN", "CKR_PIN_INCORRECT at slot 3: wrong PIN"),
        ("no key for pkcs11:object=a?pin-value=hunter2;x=y", "no key for pkcs11:object=a?pin-value=***"),
        ("usage: sign --pin hunter2 FILE", "usage: sign --pin *** FILE"),
        ("PASSWORD='hunter 2' is wrong", "PASSWORD=*** is wrong"),
        ("403 for https://kms.example/sign?X-Sig=hunter2 (denied)", "403 for https://kms.example/sign?..."),
        ("can't reach https://me:hunter2@kms.example/ in time", "can't reach https://***@kms.example/ in time"),
        ("can't reach me:hunter2@kms.example in time", "can't reach ***@kms.example in time"),
        ("red \x1b[31m", "red \\x1b[31m"),
    ],
)
def test_what_a_command_prints_is_stored_without_secrets(line: str, shown: str) -> None:
    assert message_after(line).startswith(shown)
    assert "hunter" not in message_after(line)


def test_a_long_line_is_cut_and_the_log_has_it_whole_unless_it_has_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    long = "x" * 300

    assert message_after(f"{long} pin-value=hunter2") == message_after(long) == "x" * 200 + "..."

    assert [long in record.getMessage() for record in caplog.records] == [True]
    assert "hunter" not in caplog.text


def test_no_error_of_signing_shows_the_password_of_the_time_stamp_service() -> None:
    error = SigningError("no answer from https://me:hunter2@tsa.example/?key=hunter2")

    assert str(error) == "no answer from https://***@tsa.example/?..."
