"""Content credentials (C2PA 2.x): a signed manifest in an output, written and read by C2PA's own library.

The manifest says that the scan, its ingredient, was opened, and that a trained model changed its colours, and how. It
is added to the finished file. Pixels and all other metadata stay as they are.
"""

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Literal

from worker.errors import ScanError, UsageError
from worker.extras import is_installed
from worker.scans.metadata.provenance import Provenance, source_type_uri
from worker.system.whole_files import write_beside_then_rename

MIME_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "tiff": "image/tiff", "webp": "image/webp"}
Algorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]
SIGN_SECONDS = 60
_OWN_ASSERTION = "org.photochrom.colourization"
_NO_THUMBNAILS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}


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
        """Read the files. Raises UsageError if something is missing or can't be used."""
        if not is_installed("c2pa"):
            raise UsageError(
                "PHOTOCHROM_C2PA_CERTIFICATE is set, and the package c2pa is missing; pip install 'photochrom[c2pa]'"
            )
        if (key is None) == (command is None):
            raise UsageError(
                "PHOTOCHROM_C2PA_CERTIFICATE is set; "
                "expected one of PHOTOCHROM_C2PA_KEY and PHOTOCHROM_C2PA_SIGN_COMMAND"
            )
        loaded = cls(
            certificate=certificate.read_text("ascii", "replace"),
            key=key.read_text("ascii", "replace") if key else None,
            command=tuple(shlex.split(command)) if command else None,
            algorithm=algorithm,
            timestamp_url=timestamp_url,
            max_bytes=max_bytes,
        )
        loaded.check()
        return loaded

    def check(self) -> None:
        """Raises UsageError for a certificate or a key that the library does not accept."""
        c2pa = _library()
        try:
            self._signer().close()
        except (c2pa.C2paError, ValueError) as error:
            raise UsageError(f"PHOTOCHROM_C2PA_CERTIFICATE and its key can't be used: {error}") from None

    def refuses(self, format: str, size: int) -> str | None:
        """The reason why an output of `size` bytes is not signed; None if it is signed."""
        if format not in MIME_TYPES:
            return f"content credentials (a {format.upper()} has no place for them)"
        if size > self.max_bytes:
            return f"content credentials (over {self.max_bytes / 1e6:.0f} MB)"
        return None

    def sign(self, path: Path, format: str, source: Path, source_format: str, provenance: Provenance) -> None:
        """Put a signed manifest into the output at `path`; raises ScanError when the signature can't be made."""
        c2pa = _library()
        try:
            context = c2pa.Context(c2pa.Settings.from_dict(_NO_THUMBNAILS))
            with (
                write_beside_then_rename(path) as signed,
                c2pa.Builder(_manifest(provenance), context=context) as builder,
                self._signer() as signer,
            ):
                _add_source(builder, source, source_format, provenance)
                with path.open("rb") as unsigned, signed.open("w+b") as output:
                    builder.sign(signer, MIME_TYPES[format], unsigned, output)
        except c2pa.C2paError as error:
            message = f"{provenance.source_key}: its output can't be signed: {error}"
            raise ScanError("signing_failed", message, permanent=False) from None

    def _signer(self) -> Any:
        c2pa = _library()
        if self.key is not None:
            url = self.timestamp_url.encode() if self.timestamp_url else None
            info = c2pa.C2paSignerInfo(self.algorithm, self.certificate.encode(), self.key.encode(), url)
            return c2pa.Signer.from_info(info)
        assert self.command is not None
        algorithm = c2pa.C2paSigningAlg[self.algorithm.upper()]
        return c2pa.Signer.from_callback(_asking(self.command), algorithm, self.certificate, self.timestamp_url)


def _library() -> Any:
    """C2PA's library. It comes with an extra and takes a third of a second to load."""
    import c2pa

    return c2pa


def _asking(command: tuple[str, ...]) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=SIGN_SECONDS).stdout

    return sign


def _add_source(builder: Any, source: Path, format: str, provenance: Provenance) -> None:
    """Add the scan as the parent, identified by its hash, with its own manifest if it has one."""
    ingredient = {
        "title": provenance.source_key,
        "relationship": "parentOf",
        "label": "source",
        "instance_id": f"urn:sha256:{provenance.source_sha256}",
    }
    with source.open("rb") as stream:
        builder.add_ingredient(ingredient, MIME_TYPES.get(format, "application/octet-stream"), stream)


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
        "checkpoint": provenance.checkpoint,
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
    """ "valid", or what is wrong with a file's credentials; None if the file has none that can be read."""
    if format not in MIME_TYPES or not is_installed("c2pa"):
        return None
    c2pa = _library()
    with path.open("rb") as stream:
        try:
            reader = c2pa.Reader.try_create(MIME_TYPES[format], stream)
        except c2pa.C2paError:
            return None  # the file is not of this format, whatever its name is; its hash shows whether it has changed
        if reader is None:
            return None
        with reader:
            if reader.get_validation_state() in ("Valid", "Trusted"):
                return "valid"
            return "; ".join(_failures(json.loads(reader.json())))


def _failures(report: dict[str, Any]) -> list[str]:
    return sorted({status["code"] for status in report.get("validation_status", [])} - {"signingCredential.untrusted"})
