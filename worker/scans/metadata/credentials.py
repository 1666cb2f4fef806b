"""Content credentials (C2PA 2.x): a signed manifest in an output, written and read by C2PA's own library.

The manifest says that the scan, its ingredient, was opened, and that a trained model changed its colours, and how. It
is added to the finished file. Pixels and all other metadata stay as they are.
"""

import hashlib
import shlex
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np

from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.extras import is_installed
from worker.scans.metadata.provenance import Provenance, source_type_uri
from worker.scans.metadata.sign_command import SignCommand, SigningError
from worker.system.whole_files import write_beside_then_rename

MIME_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "tiff": "image/tiff", "webp": "image/webp"}
Algorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]
_OWN_ASSERTION = "org.photochrom.colourization"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials for signing: a chain of certificates in PEM, the signer's first, and either the private key in
    PEM or a command.

    The command gets the bytes to sign on standard input and prints the raw signature. So the key may stay in a PKCS#11
    token or in a cloud's key service. `max_bytes`: larger outputs are not signed, because the library needs twice their
    size in memory.
    """

    certificate: str
    key: str | None
    command: tuple[str, ...] | None
    algorithm: Algorithm = "es256"
    timestamp_url: str | None = None
    max_bytes: int = 256 << 20

    @classmethod
    def load(
        cls,
        certificate: Path,
        key: Path | None,
        command: str | None,
        *,
        algorithm: Algorithm,
        timestamp_url: str | None,
        max_bytes: int,
    ) -> "Credentials":
        """Read the files. Raises UsageError if something is missing, and OSError for unreadable files."""
        if not is_installed("c2pa"):
            raise UsageError(
                "PHOTOCHROM_C2PA_CERTIFICATE is set, and the package c2pa is missing; pip install 'photochrom[c2pa]'"
            )
        if (key is None) == (command is None):
            raise UsageError(
                "PHOTOCHROM_C2PA_CERTIFICATE is set; "
                "expected one of PHOTOCHROM_C2PA_KEY and PHOTOCHROM_C2PA_SIGN_COMMAND"
            )
        return cls(
            certificate=certificate.read_text("ascii", "replace"),
            key=key.read_text("ascii", "replace") if key else None,
            command=tuple(shlex.split(command)) if command else None,
            algorithm=algorithm,
            timestamp_url=timestamp_url,
            max_bytes=max_bytes,
        )

    def check(self) -> None:
        """Sign a small picture and read the signature again. The time-stamp service is not asked.

        Raises UsageError for a certificate, a key or a command that can't be used, and ServiceUnavailable if the
        command fails in a way that may pass.
        """
        try:
            if _library().is_self_signed(self.certificate):
                raise SigningError("the certificate is self-signed")
            signature = replace(self, timestamp_url=None)._signature_of_a_picture()
            if signature != "valid":
                raise SigningError(f"the signature of a test picture is not valid: {signature}")
        except SigningError as error:
            if error.may_pass:
                raise ServiceUnavailable(f"PHOTOCHROM_C2PA_SIGN_COMMAND failed: {error}") from None
            raise UsageError(
                f"PHOTOCHROM_C2PA_CERTIFICATE and its key can't be used: {error}; "
                "expected a certificate for signing that is valid now, and its own private key or sign command"
            ) from None

    def _signature_of_a_picture(self) -> str | None:
        """Sign a picture in memory; return what a reader says of the signature. Raises SigningError."""
        picture = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
        sha256 = hashlib.sha256(picture).hexdigest()
        provenance = Provenance("Photochrom", "none", "picture.jpg", sha256, datetime.now(UTC))
        signed = BytesIO()
        self._sign(BytesIO(picture), signed, "jpeg", (BytesIO(picture), "jpeg"), provenance)
        signed.seek(0)
        signature: str | None = _library().signature_of(signed, MIME_TYPES["jpeg"])
        return signature

    def refuses(self, format: str, size: int) -> str | None:
        """The reason why an output of `size` bytes is not signed; None if it is signed."""
        if format not in MIME_TYPES:
            return f"content credentials (a {format.upper()} has no place for them)"
        if size > self.max_bytes:
            return f"content credentials (over {self.max_bytes / 1e6:.0f} MB)"
        return None

    def sign(self, path: Path, format: str, source: Path, source_format: str, provenance: Provenance) -> str | None:
        """Put a signed manifest into the output at `path`; raises ScanError when the signature can't be made.

        Returns what of the scan is lost: its own credentials if they are damaged, otherwise nothing.
        """
        try:
            with (
                write_beside_then_rename(path) as signed,
                path.open("rb") as unsigned,
                source.open("rb") as scan,
                signed.open("w+b") as output,
            ):
                is_whole = self._sign(unsigned, output, format, (scan, source_format), provenance)
        except SigningError as error:
            message = f"{provenance.source_key}: its output can't be signed: {error}"
            raise ScanError("signing_failed", message, permanent=False) from None
        return None if is_whole else "content credentials of the scan (damaged)"

    def _sign(
        self, unsigned: BinaryIO, output: BinaryIO, format: str, source: tuple[BinaryIO, str], provenance: Provenance
    ) -> bool:
        """As signatures.sign. `source`: the scan and its format. Raises SigningError."""
        library, command = _library(), SignCommand(self.command) if self.command else None
        scan, source_format = source
        ingredient = (_ingredient(provenance), MIME_TYPES.get(source_format, "application/octet-stream"), scan)
        try:
            with closing(self._signer(command)) as signer:
                return bool(
                    library.sign(signer, _manifest(provenance), ingredient, MIME_TYPES[format], unsigned, output)
                )
        except SigningError as error:
            raise (command and command.error) or error from None

    def _signer(self, command: SignCommand | None) -> Any:
        library = _library()
        if command is not None:
            return library.signer_with_command(self.algorithm, self.certificate, command, self.timestamp_url)
        return library.signer_with_key(self.algorithm, self.certificate, self.key, self.timestamp_url)


def _library() -> Any:
    """The module with C2PA's library, which comes with an extra."""
    from worker.scans.metadata import signatures

    return signatures


def _ingredient(provenance: Provenance) -> dict[str, Any]:
    """The scan as the parent, identified by its hash."""
    return {
        "title": provenance.source_key,
        "relationship": "parentOf",
        "label": "source",
        "instance_id": f"urn:sha256:{provenance.source_sha256}",
    }


def _manifest(provenance: Provenance) -> dict[str, Any]:
    name, _, version = provenance.software.partition(" ")
    agent = {"name": name, "version": version}
    when = provenance.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}},
        {
            "action": "c2pa.color_adjustments",
            "when": when,
            "softwareAgent": agent,
            "digitalSourceType": source_type_uri(provenance.source_type),
            "description": "Colours predicted by a trained model; the lightness is the scan's own.",
        },
    ]
    return {
        "claim_generator_info": [agent],
        "title": Path(provenance.source_key).name,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": _OWN_ASSERTION, "data": _settings(provenance)},
        ],
    }


def _settings(provenance: Provenance) -> dict[str, Any]:
    values = {
        "model": provenance.model,
        "checkpoint": provenance.checkpoint,
        "checkpoint_sha256": provenance.checkpoint_sha256,
        "source_key": provenance.source_key,
        "source_sha256": provenance.source_sha256,
        "head": provenance.head,
        "embedding": provenance.embedding,
        "saturation": provenance.saturation,
        "precision": provenance.precision,
        "input_px": provenance.input_px,
    }
    return {name: value for name, value in values.items() if value is not None}


def signature_of(path: Path, format: str) -> str | None:
    """As signatures.signature_of; None also if C2PA's library is not installed."""
    if format not in MIME_TYPES or not is_installed("c2pa"):
        return None
    with path.open("rb") as stream:
        signature: str | None = _library().signature_of(stream, MIME_TYPES[format])
    return signature
