"""Content credentials: signed outputs, read by the C2PA library's own reader."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.unit.pipeline.test_pipeline import assignment, colorize, pipeline  # noqa: F401  the fixture
from tests.unit.scans.metadata.certificates import write_certificate
from tests.waiting import wait_until
from worker.errors import ScanError, ServiceUnavailable, UsageError
from worker.model.checkpoint import BUNDLED, bundled_checkpoint_path, read_card
from worker.pipeline.colorize import Pipeline
from worker.pipeline.signing import check_credentials, load_credentials
from worker.scans.metadata.credentials import MIME_TYPES, Credentials, signature_of
from worker.scans.metadata.provenance import Provenance
from worker.settings.settings import Settings

FORMATS = {"jpeg": "jpg", "png": "png", "tiff": "tif", "webp": "webp"}
SIGN_COMMAND = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
r, s = utils.decode_dss_signature(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))
sys.stdout.buffer.write(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    chain, key = write_certificate(tmp_path)
    return {"c2pa_certificate": chain, "c2pa_key": key}


def credentials(**settings: Any) -> Credentials:
    loaded = load_credentials(Settings(**settings))
    assert loaded is not None
    return loaded


def sign_command(folder: Path, key: Path) -> str:
    (folder / "sign.py").write_text(SIGN_COMMAND)
    return f"{sys.executable} {folder / 'sign.py'} {key}"


def other_key(folder: Path) -> Path:
    """The private key of another certificate."""
    (folder / "other").mkdir()
    return write_certificate(folder / "other")[1]


def write_source(folder: Path, format: str) -> str:
    """Write a scan with EXIF and XMP; return its key."""
    rows = np.linspace(20, 230, 240, dtype=np.uint8)
    image = Image.fromarray(np.tile(rows, (160, 1)))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    xmp += b'<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Rome"/>'
    xmp += b"</rdf:RDF></x:xmpmeta>"
    exif, text = Image.Exif(), PngInfo()
    exif[0x010E] = "A mill"
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    options: dict[str, Any] = {"jpeg": {"xmp": xmp}, "png": {"pnginfo": text}, "webp": {"xmp": xmp}}
    if format == "tiff":
        exif[0x02BC] = xmp
    key = f"mill.{FORMATS[format]}"
    image.convert("RGB" if format == "webp" else "L").save(folder / "in" / key, exif=exif, **options.get(format, {}))
    return key


def contents(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        return {"pixels": np.asarray(image).tobytes(), "exif": image.getexif().get(0x010E), **_blocks(image)}


def _blocks(image: Image.Image) -> dict[str, Any]:
    return {"icc": image.info.get("icc_profile"), "xmp": image.getxmp(), "size": image.size}


def manifest_of(path: Path, format: str) -> dict[str, Any]:
    with c2pa.Reader(MIME_TYPES[format], io.BytesIO(path.read_bytes())) as reader:
        assert reader.get_validation_state() == "Valid"
        return dict(json.loads(reader.json())["manifests"][json.loads(reader.json())["active_manifest"]])


@pytest.mark.parametrize("format", FORMATS)
def test_a_signature_is_valid_and_changes_nothing_else(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
    format: str,
) -> None:
    key = write_source(tmp_path, format)
    scan = assignment(key, key, format)
    colorize(pipeline, scan)
    plain = contents(tmp_path / "out" / key)
    assert (plain["exif"], "Rome" in str(plain["xmp"])) == ("A mill", True)

    measurements = colorize(replace(pipeline, credentials=credentials(**settings)), scan)

    assert contents(tmp_path / "out" / key) == plain
    assert signature_of(tmp_path / "out" / key, format) == "valid"
    assert measurements.output_bytes == (tmp_path / "out" / key).stat().st_size
    assert "credentials" not in (measurements.lost_metadata or "")


def test_a_manifest_says_what_was_done_by_what_to_which_scan(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    key = write_source(tmp_path, "png")
    card = replace(read_card(bundled_checkpoint_path()), id="0123456789ab")  # the id of the fixture's predictions
    signing = replace(pipeline, credentials=credentials(**settings), card=card)
    measurements = colorize(signing, assignment(key, key, "png"))
    manifest = manifest_of(tmp_path / "out" / key, "png")
    said = {assertion["label"]: assertion["data"] for assertion in manifest["assertions"]}
    opened, changed = said["c2pa.actions.v2"]["actions"]

    assert (opened["action"], changed["action"]) == ("c2pa.opened", "c2pa.color_adjustments")
    assert changed["digitalSourceType"].endswith("/digitalsourcetype/compositeSynthetic")
    settings_used = said["org.photochrom.colourization"]
    assert (settings_used["model"], settings_used["checkpoint"]) == (BUNDLED, "0123456789ab")
    assert settings_used["checkpoint_sha256"].startswith(read_card(bundled_checkpoint_path()).id)
    assert len(settings_used["checkpoint_sha256"]) == 64
    assert settings_used["source_sha256"] == measurements.source_sha256
    [source] = manifest["ingredients"]
    assert (source["title"], source["relationship"]) == (key, "parentOf")
    assert source["instance_id"] == f"urn:sha256:{measurements.source_sha256}"


def test_a_manifest_names_no_model_if_the_card_is_another_checkpoints(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    key = write_source(tmp_path, "png")
    signing = replace(pipeline, credentials=credentials(**settings), card=read_card(bundled_checkpoint_path()))
    colorize(signing, assignment(key, key, "png"))
    manifest = manifest_of(tmp_path / "out" / key, "png")

    settings_used = manifest["assertions"][-1]["data"]
    assert settings_used["checkpoint"] == "0123456789ab"
    assert not {"model", "checkpoint_sha256"} & set(settings_used)


@pytest.mark.parametrize("format", FORMATS)
def test_one_changed_byte_makes_it_invalid(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
    format: str,
) -> None:
    key = write_source(tmp_path, format)
    colorize(replace(pipeline, credentials=credentials(**settings)), assignment(key, key, format))
    output = tmp_path / "out" / key
    content = bytearray(output.read_bytes())
    content[content.find(b"A mill") + 1] ^= 1
    output.write_bytes(content)

    assert "mismatch" in str(signature_of(output, format))


def test_an_expired_certificate_is_told_apart_from_a_changed_file(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
) -> None:
    chain, certificate_key = write_certificate(tmp_path, days_left=6 / 86_400)
    signing = credentials(c2pa_certificate=chain, c2pa_key=certificate_key)
    key = write_source(tmp_path, "jpeg")
    colorize(replace(pipeline, credentials=signing), assignment(key, key, "jpeg"))
    output = tmp_path / "out" / key

    wait_until(lambda: signature_of(output, "jpeg") == "expired")
    output.write_bytes(output.read_bytes().replace(b"A mill", b"A mall"))

    assert "mismatch" in str(signature_of(output, "jpeg"))


def test_a_command_signs_where_no_key_lies_on_the_machine(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    command = sign_command(tmp_path, settings["c2pa_key"])
    key = write_source(tmp_path, "jpeg")
    signing = credentials(c2pa_certificate=settings["c2pa_certificate"], c2pa_sign_command=command)

    colorize(replace(pipeline, credentials=signing), assignment(key, key, "jpeg"))

    assert signature_of(tmp_path / "out" / key, "jpeg") == "valid"


@pytest.mark.parametrize(("format", "reason"), [("jp2", "JP2"), ("tiff", "over")])
def test_an_unsigned_output_is_named_in_its_row(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
    format: str,
    reason: str,
) -> None:
    key = write_source(tmp_path, "png")
    signing = replace(credentials(**settings), max_bytes=300)

    measurements = colorize(replace(pipeline, credentials=signing), assignment(key, f"{key}.{format}", format))

    assert "content credentials" in str(measurements.lost_metadata)
    assert reason in str(measurements.lost_metadata)


def test_a_worker_refuses_a_key_it_cannot_use(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "wrong.pem").write_text("no key")
    for wrong in ({"c2pa_key": None}, {"c2pa_key": tmp_path / "wrong.pem"}, {"c2pa_sign_command": "true"}):
        with pytest.raises(UsageError, match="PHOTOCHROM_C2PA"):
            check_credentials(Settings(**{**settings, **wrong}))


def test_a_worker_accepts_credentials_that_sign(tmp_path: Path, settings: dict[str, Any]) -> None:
    by_command = {"c2pa_certificate": settings["c2pa_certificate"]}
    by_command["c2pa_sign_command"] = sign_command(tmp_path, settings["c2pa_key"])

    check_credentials(Settings(**settings))
    check_credentials(Settings(**by_command))


def test_a_worker_refuses_the_key_of_another_certificate(tmp_path: Path, settings: dict[str, Any]) -> None:
    other = other_key(tmp_path)
    chain = settings["c2pa_certificate"]

    with pytest.raises(UsageError, match="does not match"):
        check_credentials(Settings(c2pa_certificate=chain, c2pa_key=other))
    with pytest.raises(UsageError, match="does not match"):
        check_credentials(Settings(c2pa_certificate=chain, c2pa_sign_command=sign_command(tmp_path, other)))


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [({"days_left": -1}, "not valid at time of signing"), ({"self_signed": True}, "self-signed")],
)
def test_a_worker_refuses_a_certificate_that_is_expired_or_self_signed(
    tmp_path: Path, certificate: dict[str, Any], reason: str
) -> None:
    chain, key = write_certificate(tmp_path, **certificate)

    with pytest.raises(UsageError, match=reason):
        check_credentials(Settings(c2pa_certificate=chain, c2pa_key=key))


def test_a_worker_refuses_a_file_without_a_certificate(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no certificate in PEM"):
        check_credentials(Settings(c2pa_certificate=settings["c2pa_key"], c2pa_key=settings["c2pa_key"]))


@pytest.mark.parametrize(
    ("command", "error", "reason"),
    [
        ("no-such-program", UsageError, "no-such-program can't be run"),
        ("cat /dev/null", UsageError, "cat printed no signature"),
        ("echo signature", UsageError, "PHOTOCHROM_C2PA_CERTIFICATE and its key can't be used"),
        ("sh -c 'echo the token is not there >&2; exit 3'", ServiceUnavailable, "status 3: the token is not there"),
    ],
)
def test_a_worker_refuses_a_command_that_gives_no_signature(
    settings: dict[str, Any], command: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        check_credentials(Settings(c2pa_certificate=settings["c2pa_certificate"], c2pa_sign_command=command))


@pytest.mark.parametrize("by_command", [False, True])
def test_no_output_has_the_signature_of_another_key(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
    by_command: bool,
) -> None:
    """The files may be exchanged while a worker runs."""
    other, key = other_key(tmp_path), write_source(tmp_path, "png")
    wrong = {"c2pa_sign_command": sign_command(tmp_path, other)} if by_command else {"c2pa_key": other}
    signing = credentials(c2pa_certificate=settings["c2pa_certificate"], **wrong)

    with pytest.raises(ScanError, match="does not match") as failed:
        colorize(replace(pipeline, credentials=signing), assignment(key, key, "png"))

    assert (failed.value.code, failed.value.permanent) == ("signing_failed", False)
    assert list((tmp_path / "out").iterdir()) == []


@contextmanager
def http_server(requests: list[str]) -> Iterator[str]:
    """Gives the address of a server, which adds the path of each request to `requests`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *arguments: object) -> None:
            """Prints nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_no_url_that_a_scan_names_is_asked(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    requests: list[str] = []
    scan = tmp_path / "in" / write_source(tmp_path, "jpeg")
    with http_server(requests) as address:
        xmp = scan.read_bytes()
        begin, end = xmp.index(b"<x:xmpmeta"), xmp.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")
        named = f'xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}/a.c2pa" photoshop:City='
        with Image.open(scan) as image:
            image.save(scan, xmp=xmp[begin:end].replace(b"photoshop:City=", named.encode()))

        colorize(replace(pipeline, credentials=credentials(**settings)), assignment(scan.name, scan.name, "jpeg"))
        signatures = [signature_of(path, "jpeg") for path in (tmp_path / "out" / scan.name, scan)]

    assert signatures == ["valid", None]
    assert requests == []


def test_a_scan_with_damaged_credentials_of_its_own_is_signed_without_them(
    pipeline: Pipeline,  # noqa: F811
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    signing = credentials(**settings)
    key = write_source(tmp_path, "jpeg")
    scan = tmp_path / "in" / key
    provenance = Provenance("Scanner 1.0", "none", key, "0" * 64, datetime(2026, 11, 1, tzinfo=UTC))
    assert signing.sign(scan, "jpeg", scan, "jpeg", provenance) is None
    sound, lost = scan.read_bytes(), []
    first = sound.index(b"jumb")
    assert signature_of(scan, "jpeg") == "valid"

    for place in (None, first + 1, sound.index(b"c2pa.actions.v2"), sound.rindex(b"instanceID")):
        content = bytearray(sound)
        if place is not None:
            content[place] ^= 1
        scan.write_bytes(content)
        lost.append(colorize(replace(pipeline, credentials=signing), assignment(key, key, "jpeg")).lost_metadata)
        assert signature_of(tmp_path / "out" / key, "jpeg") == "valid"

    segment = "JPEG segment APP11"
    assert lost == [segment, *[f"{segment}; content credentials of the scan (damaged)"] * 3]
