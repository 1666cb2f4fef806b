"""Reads S3's ETags."""

import re
from collections.abc import Mapping
from typing import Any

_MD5 = re.compile(r"[0-9a-f]{32}")


def bare(etag: str) -> str:
    """An ETag without its quotes, which some servers leave out in listings."""
    return etag.removeprefix("W/").strip('"')


def md5_of(answer: Mapping[str, Any]) -> str | None:
    """The content's MD5, if the answer's ETag is one; otherwise None.

    An ETag of 32 hexadecimal digits is the MD5 on every server, except on AWS with KMS or a customer's keys; a header
    says so.
    """
    keyed = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    etag = bare(answer["ETag"])
    return etag if _MD5.fullmatch(etag) and not keyed else None
