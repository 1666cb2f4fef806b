"""S3's storage classes: which objects must be restored before they can be read.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html and .../restoring-objects.html.
GLACIER_IR is read like any other class. A restored object keeps its class, and has an expiry date until its copy is
removed. A HEAD tells whether an object of INTELLIGENT_TIERING is in one of its archive tiers; a listing does not.
"""

from collections.abc import Mapping
from typing import Any

_ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
_ARCHIVE_TIERS = {"ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE", "DEEP_ARCHIVE_ACCESS"}


def is_archived(entry: Mapping[str, Any]) -> bool:
    """Whether an object must be restored first, by its entry in a listing or the answer to a HEAD."""
    if entry.get("StorageClass") not in _ARCHIVED and "ArchiveStatus" not in entry:
        return False
    is_restored = (
        "RestoreExpiryDate" in entry.get("RestoreStatus", {})  # of a listing
        or 'ongoing-request="false"' in entry.get("Restore", "")  # of a HEAD
    )
    return not is_restored


def may_be_archived(columns: Mapping[str, str | None]) -> bool:
    """Whether an object may have to be restored first, by its row in an S3 Inventory. The row does not say whether it
    was restored since, so a HEAD must.
    """
    return columns.get("StorageClass") in _ARCHIVED or columns.get("IntelligentTieringAccessTier") in _ARCHIVE_TIERS
