"""S3 Inventory reports as manifests, from a real bucket."""

import json
from urllib.parse import quote_plus

import pytest

from scheduler.standalone.services import S3Server
from scheduler.submission.manifest import Entry, read_manifest
from worker.errors import UsageError
from worker.storage import S3Options


class Report:
    """An inventory report in the bucket, of the rows that it is given: bucket, key, is latest, bytes, ETag."""

    def __init__(self, s3: S3Server, bucket: str, options: S3Options) -> None:
        self.client, self.bucket, self.options = s3.client(), bucket, options

    def read(self, *rows: tuple[str, str, str, int, str], source: str, partition: str = "aws") -> list[Entry]:
        lines = [f'"{row[0]}","{quote_plus(row[1])}","{row[2]}","false","{row[3]}","{row[4]}"' for row in rows]
        about = {
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, IsLatest, IsDeleteMarker, Size, ETag",
            "destinationBucket": f"arn:{partition}:s3:::{self.bucket}",
            "files": [{"key": f"inventory/data/{number}.csv"} for number in range(len(lines))],
        }
        for number, line in enumerate(lines):
            self.client.put_object(Bucket=self.bucket, Key=f"inventory/data/{number}.csv", Body=line.encode())
        self.client.put_object(Bucket=self.bucket, Key="inventory/manifest.json", Body=json.dumps(about).encode())
        return list(read_manifest(f"s3://{self.bucket}/inventory/manifest.json", source, self.options))


@pytest.fixture
def report(s3_server: S3Server, bucket: str, s3_options: S3Options) -> Report:
    return Report(s3_server, bucket, s3_options)


def test_an_inventory_gives_keys_sizes_and_etags_of_the_latest_versions(report: Report) -> None:
    rows = [
        ("archive", "plates/a b+é.tif", "true", 17, "abc"),
        ("archive", "plates/old.tif", "false", 17, "def"),
        ("archive", "plates/box/", "true", 0, "0"),
    ]

    assert report.read(*rows, source="s3://archive/plates") == [Entry("a b+é.tif", "abc", 17)]


@pytest.mark.parametrize("partition", ["aws-us-gov", "aws-cn"])
def test_an_inventory_of_another_partition_is_read(report: Report, partition: str) -> None:
    rows = [("archive", "plates/a.tif", "true", 17, "abc")]

    assert report.read(*rows, source="s3://archive/plates", partition=partition) == [Entry("a.tif", "abc", 17)]


def test_of_a_whole_bucket_s_inventory_what_lies_under_the_prefix_is_meant(report: Report) -> None:
    keys = ["before.tif", "plates/a.tif", "plates 2/b.tif", "plates", "platesc.tif"]
    rows = [("archive", key, "true", 17, "abc") for key in keys]

    assert report.read(*rows, source="s3://archive/plates") == [Entry("a.tif", "abc", 17)]
    assert [entry.key for entry in report.read(*rows, source="s3://archive")] == keys


@pytest.mark.parametrize("source", ["s3://archive/films", "s3://other/plates", "/mnt/plates"])
def test_an_inventory_of_something_else_is_refused(report: Report, source: str) -> None:
    with pytest.raises(UsageError, match=f"in the source {source}"):
        report.read(("archive", "plates/a.tif", "true", 17, "abc"), source=source)
