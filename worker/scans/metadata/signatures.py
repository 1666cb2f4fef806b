"""C2PA's own library. It comes with an extra and takes a third of a second to load."""

import json
from typing import Any, BinaryIO

import c2pa
from cryptography import x509

from worker.scans.metadata.sign_command import SignCommand, SigningError

# The library reads each signature again. So a key of another certificate, or a command that prints something else, is
# an error, and not an output with an invalid signature. The library must not fetch a manifest from the URL that a
# file's XMP names, because whoever made the file could then have any address in our network asked.
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": True, "remote_manifest_fetch": False},
}


def signer_with_key(algorithm: str, certificate: str, key: str, timestamp_url: str | None) -> Any:
    """Raises SigningError for a certificate or a key that the library does not accept."""
    url = timestamp_url.encode() if timestamp_url else None
    try:
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificate.encode(), key.encode(), url))
    except (c2pa.C2paError, ValueError) as error:
        raise SigningError(str(error)) from None


def signer_with_command(algorithm: str, certificate: str, command: SignCommand, timestamp_url: str | None) -> Any:
    """Raises SigningError for a certificate that the library does not accept."""
    try:
        number = c2pa.C2paSigningAlg[algorithm.upper()]
        return c2pa.Signer.from_callback(command, number, certificate, timestamp_url)
    except (c2pa.C2paError, ValueError) as error:
        raise SigningError(str(error)) from None


def sign(
    signer: Any,
    manifest: dict[str, Any],
    source: tuple[dict[str, Any], str, BinaryIO],
    media_type: str,
    unsigned: BinaryIO,
    output: BinaryIO,
) -> bool:
    """Write `unsigned` with a signed manifest to `output`, and read the signature again. `source`: the ingredient's
    description, media type and bytes. Returns False if the ingredient's own credentials are damaged and left out.

    Raises SigningError if that fails, or if the signature is not the certificate's.
    """
    try:
        builder, is_read = _builder(manifest, source)
        with builder:
            builder.sign(signer, media_type, unsigned, output)
    except c2pa.C2paError as error:
        raise SigningError(str(error)) from None
    return is_read or not _names_credentials(source[2])


def _builder(manifest: dict[str, Any], source: tuple[dict[str, Any], str, BinaryIO]) -> tuple[Any, bool]:
    """A builder with the ingredient, and whether the library could read the ingredient's file.

    If it can't, the ingredient is bytes without a format, which the library does not look into: an output is not given
    up because the credentials of its scan are damaged.
    """
    description, _, scan = source
    builder = c2pa.Builder(manifest, context=_context())
    try:
        builder.add_ingredient(*source)
        return builder, True
    except c2pa.C2paError:
        builder.close()
    scan.seek(0)
    builder = c2pa.Builder(manifest, context=_context())
    builder.add_ingredient(description, "application/octet-stream", scan)
    return builder, False


def _names_credentials(file: BinaryIO) -> bool:
    """Whether a file that the library can't read has credentials: in them, many labels begin with "c2pa"."""
    file.seek(0)
    end = b""
    while block := file.read(1 << 20):
        if b"c2pa" in end + block:
            return True
        end = block[-3:]
    return False


def is_self_signed(certificate: str) -> bool:
    """Whether the first certificate of a chain in PEM names itself as its issuer. Raises SigningError if there is none.

    The library accepts such certificates if they are not an authority's. The specification allows none of them.
    """
    try:
        signer = x509.load_pem_x509_certificates(certificate.encode())[0]
    except ValueError as error:
        raise SigningError(f"the file has no certificate in PEM ({error})") from None
    return signer.issuer == signer.subject


def signature_of(stream: BinaryIO, media_type: str) -> str | None:
    """ "valid", "expired" if they fit but their certificate has expired, or what is wrong with a file's credentials.

    None if the file has none that can be read. A certificate counts as expired only without a time stamp that shows
    that it was valid when it signed.
    """
    try:
        reader = c2pa.Reader.try_create(media_type, stream, context=_context())
    except c2pa.C2paError:
        # The file is not of this format, whatever its name is, or its manifest is elsewhere; its hash shows whether it
        # has changed.
        return None
    if reader is None:
        return None
    with reader:
        if reader.get_validation_state() in ("Valid", "Trusted"):
            return "valid"
        failures = _failures(json.loads(reader.json()))
    return "expired" if failures == ["signingCredential.expired"] else "; ".join(failures)


def _context() -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _failures(report: dict[str, Any]) -> list[str]:
    return sorted({status["code"] for status in report.get("validation_status", [])} - {"signingCredential.untrusted"})
