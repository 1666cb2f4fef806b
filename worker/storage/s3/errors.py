"""Translates the errors of S3 and botocore. No message contains credentials or a signed URL."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from worker.errors import (
    CredentialsRefused,
    PhotochromError,
    ScanError,
    ServiceUnavailable,
    StorageUnavailable,
    UsageError,
)
from worker.storage.errors import archived, source_changed, source_missing

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
# These have a 4xx status, but another attempt may succeed. The first three mean that the body was damaged on its way.
_PASSING = {
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "NoSuchUpload",
    "OperationAborted",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "RequestLimitExceeded",
}
_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"),
    *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
}
_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_CHECK_CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"


def are_refused(error: BotoCoreError | ClientError) -> bool:
    """Whether credentials are missing or not accepted. This says nothing about their rights.

    New credentials may be available, because keys are replaced and tokens expire.
    """
    return _code(error) in _CREDENTIALS if isinstance(error, ClientError) else isinstance(error, _NO_CREDENTIALS)


def is_missing(error: ClientError) -> bool:
    return _code(error) in _MISSING


def may_not_write(error: BotoCoreError | ClientError) -> bool:
    """Whether S3 refused to begin an upload in parts because a right on the store is missing, not a right
    on a KMS key.
    """
    return (
        isinstance(error, ClientError)
        and error.operation_name == "CreateMultipartUpload"
        and _status(error) in (401, 403)
        and not _is_of_kms(error)
    )


def scan_fault(
    error: BotoCoreError | ClientError, key: str, uri: str, address: str, *, writing: bool = False
) -> ScanError:
    """The scan's error for an error in a call about one object."""
    if isinstance(error, ClientError):
        return _answered(error, key, uri, address, writing=writing)
    if isinstance(error, _NO_CREDENTIALS):
        # Not permanent: the scan is not the cause, and another worker, or this one later, may have credentials.
        return ScanError("credentials", f"{uri}: no AWS credentials were found; {_CHECK_CREDENTIALS}", permanent=False)
    if isinstance(error, ParamValidationError):
        return ScanError("storage_refused", f"{uri} has no place for the key {key!r}", permanent=True)
    return StorageUnavailable(f"{key!r}: {address} can't be reached ({type(error).__name__})")


def service_fault(error: BotoCoreError | ClientError, uri: str, address: str) -> PhotochromError:
    """The error for an error in a call about the whole prefix: UsageError (CredentialsRefused) or
    ServiceUnavailable.
    """
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsRefused(f"{uri}: no AWS credentials were found; {_CHECK_CREDENTIALS}")
    if not isinstance(error, ClientError):
        return ServiceUnavailable(
            f"{uri}: {address} can't be reached ({type(error).__name__}); "
            "check the network and PHOTOCHROM_S3_ENDPOINT_URL"
        )
    if is_missing(error):
        return UsageError(f"{uri}: there is no such bucket at {address}; create it or correct its name")
    if are_refused(error):
        return CredentialsRefused(
            f"{uri}: {address} does not accept the credentials ({_code(error)}); {_CHECK_CREDENTIALS}"
        )
    if _status(error) in (401, 403):
        return UsageError(f"{uri}: {address} does not let these credentials list it; grant s3:ListBucket")
    if _passes(error):
        return ServiceUnavailable(f"{uri}: {address} fails ({_code(error)}, status {_status(error)}); try again later")
    return UsageError(f"{uri}: {address} refuses the request ({_code(error)}, status {_status(error)})")


def _answered(error: ClientError, key: str, uri: str, address: str, *, writing: bool) -> ScanError:
    code, status = _code(error), _status(error)
    if _passes(error):
        return StorageUnavailable(f"{key!r}: {address} failed ({code}, status {status})")
    if is_missing(error) and writing:
        return ScanError("destination_missing", f"there is no bucket for {uri} at {address}; create it", permanent=True)
    if is_missing(error):
        return source_missing(key, uri)
    if status == 412:
        return source_changed(key, "its ETag is another")
    if code == "InvalidObjectState":
        return archived(key)
    if are_refused(error):
        sentence = f"{key!r}: {address} does not accept the credentials ({code}); {_CHECK_CREDENTIALS}"
        return ScanError("credentials", sentence, permanent=False)
    if status in (401, 403):
        sentence = f"{key!r}: {address} denies access ({code}); {_needed(error, uri, writing=writing)}"
        return ScanError("denied", sentence, permanent=True)
    if code == "KeyTooLongError":
        return ScanError("name_too_long", f"the key {key!r} is too long for {uri}", permanent=True)
    return ScanError("storage_refused", f"{key!r}: {address} refused it ({code}, status {status})", permanent=True)


def _needed(error: ClientError, uri: str, *, writing: bool) -> str:
    """Which right to grant, from AWS' message."""
    if _is_of_kms(error):
        return "grant kms:GenerateDataKey and kms:Decrypt on the bucket's key"
    if writing:
        return f"grant s3:PutObject on {uri}"
    return (
        f"grant s3:GetObject and s3:ListBucket on {uri}; a bucket whose requesters pay needs "
        "PHOTOCHROM_S3_REQUESTER_PAYS=true, a public one may need PHOTOCHROM_S3_UNSIGNED=true"
    )


def _is_of_kms(error: ClientError) -> bool:
    return "kms" in str(error.response.get("Error", {}).get("Message", "")).lower()


def _passes(error: ClientError) -> bool:
    return _code(error) in _PASSING or _status(error) >= 500 or _status(error) == 429


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _status(error: ClientError) -> int:
    """The HTTP status; 500 for an answer without one, such as a body that is no XML."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
