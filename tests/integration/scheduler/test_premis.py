"""premis.xml has the elements that PREMIS 3.0's XML schema allows, in its order, and as often as it allows."""

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine

from db.models.jobs import ScanState
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.scans import records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, session_scope
from scheduler.integrity.premis import write_premis

NAMESPACE = "{http://www.loc.gov/premis/v3}"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)

# Of the schema of 18 January 2016: the children of each element that is used, in their order, as
# (name, fewest, most). Elements that are not used are left out; all of them may be missing.
MANY = 1_000_000
CHILDREN = {
    "premis": [("object", 1, MANY), ("event", 0, MANY), ("agent", 0, MANY)],
    "object": [
        ("objectIdentifier", 1, MANY),
        ("objectCharacteristics", 1, MANY),
        ("relationship", 0, MANY),
        ("linkingEventIdentifier", 0, MANY),
    ],
    "objectIdentifier": [("objectIdentifierType", 1, 1), ("objectIdentifierValue", 1, 1)],
    "objectCharacteristics": [("fixity", 0, MANY), ("size", 0, 1), ("format", 1, MANY)],
    "fixity": [("messageDigestAlgorithm", 1, 1), ("messageDigest", 1, 1)],
    "format": [("formatDesignation", 1, 1)],
    "formatDesignation": [("formatName", 1, 1)],
    "relationship": [
        ("relationshipType", 1, 1),
        ("relationshipSubType", 1, 1),
        ("relatedObjectIdentifier", 1, MANY),
    ],
    "relatedObjectIdentifier": [("relatedObjectIdentifierType", 1, 1), ("relatedObjectIdentifierValue", 1, 1)],
    "linkingEventIdentifier": [("linkingEventIdentifierType", 1, 1), ("linkingEventIdentifierValue", 1, 1)],
    "event": [
        ("eventIdentifier", 1, 1),
        ("eventType", 1, 1),
        ("eventDateTime", 1, 1),
        ("eventDetailInformation", 0, MANY),
        ("eventOutcomeInformation", 0, MANY),
        ("linkingAgentIdentifier", 0, MANY),
        ("linkingObjectIdentifier", 0, MANY),
    ],
    "eventIdentifier": [("eventIdentifierType", 1, 1), ("eventIdentifierValue", 1, 1)],
    "eventDetailInformation": [("eventDetail", 0, 1)],
    "eventOutcomeInformation": [("eventOutcome", 0, 1), ("eventOutcomeDetail", 0, MANY)],
    "eventOutcomeDetail": [("eventOutcomeDetailNote", 0, 1)],
    "linkingAgentIdentifier": [
        ("linkingAgentIdentifierType", 1, 1),
        ("linkingAgentIdentifierValue", 1, 1),
        ("linkingAgentRole", 0, MANY),
    ],
    "linkingObjectIdentifier": [
        ("linkingObjectIdentifierType", 1, 1),
        ("linkingObjectIdentifierValue", 1, 1),
        ("linkingObjectRole", 0, MANY),
    ],
    "agent": [("agentIdentifier", 1, MANY), ("agentName", 0, MANY), ("agentType", 0, 1), ("agentVersion", 0, 1)],
    "agentIdentifier": [("agentIdentifierType", 1, 1), ("agentIdentifierValue", 1, 1)],
}


@pytest.fixture
def premis(migrated_sqlite_url: str, tmp_path: Path) -> ElementTree.Element:
    """The premis.xml of a job with a scan in each state."""
    engine = make_engine(migrated_sqlite_url)
    _make_job(engine)
    write_premis(engine, "s3://colour/plates", tmp_path / "premis.xml")
    engine.dispose()
    return ElementTree.parse(tmp_path / "premis.xml").getroot()


def _make_job(engine: Engine) -> None:
    keys = ("box 1/ä.tif", "<&\x01>.jpg", "no extension", "pending.png")
    with session_scope(engine) as session:
        place = {"source": "s3://scans/plates", "destination": "s3://colour/plates"}
        job_id = lifecycle.create(session, name="plates", options={}, priority=0, now=NOW, **place)
        lifecycle.add_scans(session, job_id, [NewScan(key, "e", 10, f"data/{key}") for key in keys], chunk_scans=4)
        done, failed, skipped, _ = records.of_job(session, job_id)
        made = ScanMeasurements(source_sha256="a" * 64, output_sha256="b" * 64, output_bytes=3, checkpoint="second")
        made.software = "Photochrom 0.1.0"
        ended = [
            ScanRecord(done.id, ScanState.DONE, 1, made, "w", NOW),
            ScanRecord(failed.id, ScanState.FAILED, 3, ScanMeasurements(), "w", NOW, "truncated", "it ends <early>"),
            ScanRecord(skipped.id, ScanState.SKIPPED, 1, ScanMeasurements(), "w", NOW, "already_colour", "in colour"),
        ]
        records.record(session, ended)


def test_every_element_is_where_the_schema_has_it(premis: ElementTree.Element) -> None:
    problems = [problem for element in premis.iter() for problem in _problems(element)]

    assert problems == []
    assert premis.get("version") == "3.0"
    assert len(premis.findall(f"{NAMESPACE}event")) == 3


def test_files_are_objects_of_the_schemas_type_file(premis: ElementTree.Element) -> None:
    types = {
        element.get("{http://www.w3.org/2001/XMLSchema-instance}type") for element in premis.iter(f"{NAMESPACE}object")
    }

    assert types == {"file"}


def test_an_event_says_which_software_and_checkpoint_made_the_output(premis: ElementTree.Element) -> None:
    details = [element.text for element in premis.iter(f"{NAMESPACE}eventDetail")]

    assert details[0] == "colours predicted by checkpoint second, Photochrom 0.1.0"
    assert set(details[1:]) == {"colours were to be predicted"}


def test_sizes_are_whole_numbers(premis: ElementTree.Element) -> None:
    assert {element.text for element in premis.iter(f"{NAMESPACE}size")} == {"10", "3"}


def _problems(element: ElementTree.Element) -> list[str]:
    name = element.tag.removeprefix(NAMESPACE)
    expected = CHILDREN.get(name, [])
    children = [child.tag.removeprefix(NAMESPACE) for child in element]
    order = [child for child, _, _ in expected]
    problems = [f"{name} has {child}" for child in children if child not in order]
    if not problems and [order.index(child) for child in children] != sorted(order.index(child) for child in children):
        problems.append(f"{name} has {children}, expected the order {order}")
    for child, fewest, most in expected:
        if not fewest <= children.count(child) <= most:
            problems.append(f"{name} has {children.count(child)} {child}, expected {fewest} to {most}")
    return problems
