"""The history of each file of a bag as PREMIS 3.0, for archives that take in the bag: sources, outputs, events, the
agent.

The names and the order of elements are those of the Library of Congress' data dictionary, version 3.0.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape

from sqlalchemy import Engine

from db.models.jobs import Job, Scan, ScanState
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.session import read_scope

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<premis xmlns="http://www.loc.gov/premis/v3" version="3.0"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
)
_OUTCOMES = {ScanState.DONE: "success", ScanState.FAILED: "failure", ScanState.SKIPPED: "skipped"}


def write_premis(engine: Engine, destination: str, path: Path) -> None:
    """Write the file for all jobs with this destination, one scan at a time. Raises DatabaseUnavailable."""
    with read_scope(engine) as session:
        jobs = lifecycle.into(session, destination)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_HEAD)
        _write_each(engine, jobs, file, _objects)
        _write_each(engine, jobs, file, _event)
        file.write(_agent() + "</premis>\n")


def _write_each(engine: Engine, jobs: list[Job], file: TextIO, text_of: Callable[[Job, Scan], str]) -> None:
    for job in jobs:
        for scan in _ended_scans(engine, job.id):
            file.write(text_of(job, scan))


def _ended_scans(engine: Engine, job_id: int) -> Iterator[Scan]:
    return (scan for scan in records.stream(engine, job_id) if scan.state in _OUTCOMES)


def _objects(job: Job, scan: Scan) -> str:
    source = _object(_source_id(job, scan), scan.source_sha256, scan.source_bytes, scan.source_key, "", scan)
    if scan.state != ScanState.DONE:
        return source
    relation = _element(
        "relationship",
        _element("relationshipType", "derivation")
        + _element("relationshipSubType", "has source")
        + _identifier("relatedObjectIdentifier", "URI", _source_id(job, scan)),
    )
    return source + _object(scan.output_key, scan.output_sha256, scan.output_bytes, scan.output_key, relation, scan)


def _object(identifier: str, sha256: str | None, size: int | None, key: str, relation: str, scan: Scan) -> str:
    fixity = _element("messageDigestAlgorithm", "SHA-256") + _element("messageDigest", sha256 or "")
    designation = _element(
        "formatDesignation", _element("formatName", Path(key).suffix.lstrip(".").lower() or "unknown", escaped=True)
    )
    characteristics = _element("fixity", fixity) if sha256 else ""
    characteristics += _element("size", str(size)) if size is not None else ""
    body = _identifier("objectIdentifier", "URI" if "://" in identifier else "bag path", identifier)
    body += _element("objectCharacteristics", characteristics + _element("format", designation))
    body += relation + _identifier("linkingEventIdentifier", "scan", str(scan.id))
    return f'<object xsi:type="file">{body}</object>\n'


def _event(job: Job, scan: Scan) -> str:
    detail = f"colours predicted by checkpoint {scan.checkpoint}" if scan.checkpoint else "colours were to be predicted"
    if scan.software:  # the agent's version is that of the scheduler which seals the bag
        detail += f", {scan.software}"
    outcome = _element("eventOutcome", _OUTCOMES[scan.state])
    if scan.error_message:
        note = _element("eventOutcomeDetailNote", f"{scan.error_code}: {scan.error_message}", escaped=True)
        outcome += _element("eventOutcomeDetail", note)
    body = _identifier("eventIdentifier", "scan", str(scan.id)) + _element("eventType", "modification")
    moment = scan.finished_at or job.created_at
    body += _element("eventDateTime", moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    body += _element("eventDetailInformation", _element("eventDetail", detail, escaped=True))
    body += _element("eventOutcomeInformation", outcome) + _identifier(
        "linkingAgentIdentifier", "software", "Photochrom"
    )
    body += _identifier("linkingObjectIdentifier", "URI", _source_id(job, scan), role="source")
    if scan.state == ScanState.DONE:
        body += _identifier("linkingObjectIdentifier", "bag path", scan.output_key, role="outcome")
    return f"<event>{body}</event>\n"


def _agent() -> str:
    body = _identifier("agentIdentifier", "software", "Photochrom") + _element("agentName", "Photochrom")
    body += _element("agentType", "software") + _element("agentVersion", version("photochrom"))
    return f"<agent>{body}</agent>\n"


def _source_id(job: Job, scan: Scan) -> str:
    source = job.source if "://" in job.source else f"file://{job.source}"
    return f"{source.rstrip('/')}/{scan.source_key}"


def _identifier(name: str, identifier_type: str, value: str, *, role: str = "") -> str:
    body = _element(f"{name}Type", identifier_type) + _element(f"{name}Value", value, escaped=True)
    return _element(name, body + (_element(f"{name.removesuffix('Identifier')}Role", role) if role else ""))


def _element(name: str, content: str, *, escaped: bool = False) -> str:
    """An XML element. escaped: `content` is text, and must be escaped."""
    text = escape(_NO_XML.sub("\ufffd", content)) if escaped else content
    return f"<{name}>{text}</{name}>"
