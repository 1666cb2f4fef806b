"""What S3's ETags say."""

import re
from collections.abc import Mapping
from typing import Any

_MD5 = re.compile(r"[0-9a-f]{32}")


def bare(etag: str) -> str:
    """Without its quotes, which some servers leave out in listings."""
    return etag.removeprefix("W/").strip('"')


def md5_of(answer: Mapping[str, Any]) -> str | None:
    """The content's MD5 where the answer's ETag is one, else None.

    32 hexadecimal digits are it on every server, but for AWS under KMS or a customer's keys; a header says so there.
    """
    keyed = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    etag = bare(answer["ETag"])
    return etag if _MD5.fullmatch(etag) and not keyed else None
