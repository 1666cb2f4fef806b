import errno
import subprocess
import sys

import pytest

from worker.errors import ScanError
from worker.storage.files import scan_errors
from worker.storage.locations import without_secrets
from worker.storage.s3.etags import md5_of


@pytest.mark.parametrize(
    ("number", "code", "permanent"),
    [
        (errno.ENOSPC, "disk_full", False),
        (errno.EDQUOT, "disk_full", False),
        (errno.EACCES, "denied", True),
        (errno.EROFS, "denied", True),
        (errno.ENAMETOOLONG, "name_too_long", True),
        (errno.EISDIR, "name_taken", True),
        (errno.ESTALE, "storage_unavailable", False),
        (errno.EIO, "storage_unavailable", False),
    ],
)
def test_the_system_s_errors_become_scan_errors(number: int, code: str, permanent: bool) -> None:
    with pytest.raises(ScanError, match="writing /nas/a") as failed, scan_errors("writing /nas/a"):
        raise OSError(number, "")
    assert (failed.value.code, failed.value.permanent) == (code, permanent)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:hunter2@host:9000", "http://***@host:9000"),
        ("s3://AKIA:hun/ter2@bucket/a", "s3://***@bucket/a"),
        ("https://host/a?X-Amz-Signature=hunter2", "https://host/a?..."),
        ("/scans/who?me@home", "/scans/who?me@home"),
        ("a\nb", "a\\nb"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, "0" * 32),
        ({"ServerSideEncryption": "AES256"}, "0" * 32),
        ({"ServerSideEncryption": "aws:kms"}, None),
        ({"SSECustomerAlgorithm": "AES256"}, None),
        ({"ETag": f'"{"0" * 32}-4"'}, None),
    ],
)
def test_an_etag_is_taken_for_an_md5_only_where_it_is_one(answer: dict[str, str], expected: str | None) -> None:
    assert md5_of({"ETag": f'"{"0" * 32}"', **answer}) == expected


def test_a_folder_needs_no_boto3() -> None:
    script = "import sys, worker.storage, worker.storage.folder.storage; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
