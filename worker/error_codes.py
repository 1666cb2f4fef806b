"""Every error code of a scan, explained once. `python -m worker.error_codes` prints docs/error-codes.md.

The row of a failed or skipped scan holds its code. The message beside the code is about that one scan.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """`permanent`: the error would come again at every attempt; None if that differs from case to case.

    `skips`: the scan is left as it is on purpose; its state is `skipped`, not `failed`. `outage`: the cause is a
    service, not the scan, and may last for an hour, so PHOTOCHROM_OUTAGE_ATTEMPTS is the limit. `costs_attempt`:
    whether the try counts as an attempt.
    """

    meaning: str
    remedy: str
    permanent: bool | None = True
    skips: bool = False
    outage: bool = False
    costs_attempt: bool = True


ERROR_CODES = {
    "already_colour": ErrorCode(
        "The scan is in colour already, and not only toned.",
        "Nothing, or submit with `--colour-scans colourize` to colour it from its lightness alone.",
        skips=True,
    ),
    "archived": ErrorCode(
        "The source is in cold storage: S3's classes GLACIER and DEEP_ARCHIVE, which the listing shows, or an archive "
        "tier of INTELLIGENT_TIERING, which only reading shows.",
        "Restore it there, then `photochrom retry JOB --code archived`.",
        costs_attempt=False,
    ),
    "credentials": ErrorCode(
        "The worker has no credentials for the store, or wrong or expired ones. It starts no more scans until the "
        "store accepts them.",
        "Correct or renew them on that worker.",
        permanent=False,
        outage=True,
        costs_attempt=False,
    ),
    "denied": ErrorCode("The store doesn't let the worker read or write.", "Grant access, then `photochrom retry`."),
    "destination_missing": ErrorCode("The destination's bucket is gone.", "Create it, then `photochrom retry`."),
    "disk_full": ErrorCode(
        "A disk had no room for the source or its output.", "Make room.", permanent=False, outage=True
    ),
    "empty": ErrorCode("The source has 0 bytes.", "Scan or copy it again."),
    "internal": ErrorCode("An error in Photochrom; the worker's log has the details.", "Report it.", permanent=False),
    "lease_ended": ErrorCode(
        "The worker could not reach the job database until its lease ran out, so another worker may have taken the "
        "scan. Nothing was stored.",
        "Find out why that worker could not reach the job database.",
        permanent=False,
        outage=True,
    ),
    "model_failed": ErrorCode(
        "The model could not colour the scan: the device failed, or gave values that are not numbers.",
        "See the worker's log, then `photochrom retry`.",
        permanent=None,
    ),
    "model_unavailable": ErrorCode(
        "The worker's model server didn't answer.",
        "Nothing: the model server is started again. If that fails, see the worker's log.",
        permanent=False,
        outage=True,
    ),
    "name_taken": ErrorCode(
        "The output's place is taken: by a folder, by another scan's output, or by a file where the output needs a "
        "folder.",
        "Move what is there, or rename the scan.",
    ),
    "name_too_long": ErrorCode("The key is too long for the store.", "Choose a shorter destination or key."),
    "signing_failed": ErrorCode(
        "The output could not be signed: the key, its command or the time-stamp service failed. Nothing was stored.",
        "As the message says, then `photochrom retry`.",
        permanent=False,
        outage=True,
    ),
    "source_changed": ErrorCode("The source has changed since it was listed.", "Submit the collection again."),
    "source_missing": ErrorCode("The source was removed after it was listed.", "Submit the collection again."),
    "storage_refused": ErrorCode("The store refused the request; the message says why.", "As the message says."),
    "storage_unavailable": ErrorCode(
        "The store did not answer as it should: a timeout, throttling, a broken connection, or a folder that is gone "
        "or not mounted.",
        "See that the store answers and the folder is there, then `photochrom retry`.",
        permanent=False,
        outage=True,
    ),
    "too_large": ErrorCode(
        "The source has more bytes, pixels or pages than the settings allow.",
        "Raise the setting that the message names, such as `PHOTOCHROM_MAX_SCAN_PIXELS`, then `photochrom retry`.",
    ),
    "truncated": ErrorCode("The file ends before all of its pixels.", "Copy or scan it again."),
    "unreadable": ErrorCode("The source is damaged.", "Copy or scan it again."),
    "unsafe_key": ErrorCode("The key leads out of the folder, for example by `..`.", "Rename the object."),
    "unsupported": ErrorCode(
        "The source is not an image, or is of a form that can't be read, or does not fit the output's format.",
        "As the message says: convert it, or choose another `--format`.",
    ),
    "unwritable": ErrorCode("The output could not be written to the scratch folder.", "Make room.", permanent=False),
    "worker_killed": ErrorCode(
        "Every worker that opened the scan died or stopped responding.",
        "Look at the scan, then `photochrom retry`.",
    ),
}

# The cause is in the scan's file: another job would fail too, as long as the file is the same.
OF_THE_SCAN = frozenset({"empty", "name_too_long", "too_large", "truncated", "unreadable", "unsafe_key", "unsupported"})

# Some of the file's bytes are wrong or missing, so another version or setting can't help.
DAMAGED = frozenset({"empty", "truncated", "unreadable"})


def is_skipped(code: str) -> bool:
    """Whether a scan with this code is skipped rather than failed."""
    return code in ERROR_CODES and ERROR_CODES[code].skips


def is_outage(code: str) -> bool:
    """Whether the cause is a service and not the scan."""
    return code in ERROR_CODES and ERROR_CODES[code].outage


def costs_attempt(code: str) -> bool:
    """Whether an error with this code uses up one of the scan's attempts."""
    return code not in ERROR_CODES or ERROR_CODES[code].costs_attempt


def as_markdown() -> str:
    """docs/error-codes.md."""
    rows = [
        f"| `{code}` | {entry.meaning} | {_ends(entry)} | {entry.remedy} |"
        for code, entry in sorted(ERROR_CODES.items())
    ]
    return "\n".join(
        [
            "# Error codes",
            "",
            "This is what `error_code` in a scan's row means. Codes do not change. `error_message` beside it is about",
            "this one scan.",
            "",
            "A scan whose error may pass is tried again after longer and longer pauses, `PHOTOCHROM_SCAN_ATTEMPTS`",
            "times in all. While a service is away it is tried `PHOTOCHROM_OUTAGE_ATTEMPTS` times, for over an hour.",
            "Then the scan has failed with the last reason. `photochrom retry` starts it again.",
            "",
            "| code | means | the scan is | what to do |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _ends(entry: ErrorCode) -> str:
    if entry.skips:
        return "skipped"
    if not entry.costs_attempt:
        not_counted = "failed at once; this does not count as an attempt"
        return not_counted if entry.permanent else "tried again until the cause is gone"
    if entry.outage:
        return "tried again for an hour, then failed"
    return {True: "failed at once", False: "tried again, then failed", None: "failed, or tried again"}[entry.permanent]


if __name__ == "__main__":
    print(as_markdown(), end="")
