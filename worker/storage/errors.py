"""The scan errors that every storage raises, with their sentences."""

from worker.errors import ScanError


def source_missing(key: str, uri: str) -> ScanError:
    sentence = f"{key!r} is not in {uri} any more; submit or run the collection again"
    return ScanError("source_missing", sentence, permanent=True)


def source_changed(key: str, change: str) -> ScanError:
    """The object is not the one that was listed."""
    return ScanError(
        "source_changed",
        f"{key!r} has changed since it was listed ({change}); submit or run the collection again",
        permanent=True,
    )


def name_taken(key: str, uri: str) -> ScanError:
    """The error for a name that the output of another key has, on a disk that does not distinguish the two names."""
    sentence = f"{key!r} has the name of another output in {uri} but for capitals, which that disk does not tell apart"
    return ScanError("name_taken", f"{sentence}; rename one of the two scans", permanent=True)


def too_large(key: str, size: int, max_bytes: int) -> ScanError:
    sentence = f"{key!r} has {size} bytes; expected at most {max_bytes} (PHOTOCHROM_MAX_SCAN_BYTES)"
    return ScanError("too_large", sentence, permanent=True)


def archived(key: str) -> ScanError:
    sentence = f"{key!r} is in cold storage; restore it, then: photochrom retry JOB --code archived"
    return ScanError("archived", sentence, permanent=True)


def unsafe_key(key: str, fault: str) -> ScanError:
    return ScanError("unsafe_key", f"the key {key!r} {fault}; rename the object", permanent=True)
