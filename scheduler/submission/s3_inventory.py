"""S3 Inventory: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html"""

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from scheduler.submission.manifest_file import opened
from worker.storage import S3Location, S3Options, parse_location
from worker.storage.s3.classes import may_be_archived


def inventory_rows(report: Any, source: str, s3: S3Options) -> Iterator[tuple[int, dict[str, str | None], bool]]:
    """The whole key, the bytes and the ETag of each object in the report, with its line's number over all files of the
    report, and whether the object may be in cold storage.

    report: its manifest.json. A report is usually about a whole bucket, so keys of the source's bucket that are not
    under its prefix are left out. Keys of another bucket are yielded, and the caller refuses them. Raises ValueError,
    KeyError or TypeError if the report is not an S3 Inventory, or has nothing under the source; and UsageError,
    ServiceUnavailable.
    """
    if report["fileFormat"] != "CSV":
        raise ValueError(f"fileFormat is {report['fileFormat']!r}; expected CSV")
    names = [name.strip() for name in report["fileSchema"].split(",")]
    number = in_source = 0
    for number, row in enumerate(_rows(report, source, s3), 1):
        columns = dict(zip(names, row, strict=True))
        if columns.get("IsDeleteMarker") == "true" or columns.get("IsLatest") == "false":
            continue
        # Keys are URL-encoded in the report.
        key = f"s3://{columns['Bucket']}/{unquote_plus(columns['Key'])}"
        if not key.endswith("/") and not _lies_beside(key, source):
            in_source += 1
            yield (
                number,
                {"key": key, "bytes": columns.get("Size"), "etag": columns.get("ETag")},
                may_be_archived(columns),
            )
    if number and not in_source:
        raise ValueError(f"none of its {number} keys lies in the source {source}")


def _rows(report: Any, source: str, s3: S3Options) -> Iterator[list[str]]:
    # A bucket's ARN contains the partition: arn:aws-us-gov:s3:::bucket, arn:aws-cn:s3:::bucket ...
    bucket = report["destinationBucket"].rpartition(":::")[2]
    for part in report["files"]:
        with opened(f"s3://{bucket}/{part['key']}", source, s3) as file:
            yield from csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _lies_beside(key: str, source: str) -> bool:
    """Whether a key is in the source's bucket, but not under its prefix."""
    location = parse_location(source)
    if not isinstance(location, S3Location):
        return False
    return key.startswith(f"s3://{location.bucket}/") and not key.startswith(f"{location.uri}/")
