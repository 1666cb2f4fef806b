"""An output of any format says in its XMP how it was made; Pillow and ElementTree read this back."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.unit.scans.conftest import Opener, colours, pillow_bytes, ramp
from worker.scans import OutputOptions, compose
from worker.scans.metadata.provenance import Provenance, with_provenance

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OWN = "{urn:photochrom:provenance#}"
EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MADE = Provenance(
    "Photochrom 0.1.0", "0123456789ab", 'box "7"/<ä>.tif', "ab" * 32, datetime(2026, 7, 1, 12, tzinfo=UTC)
)


def packet(inside: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:I="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:mm="http://ns.adobe.com/xap/1.0/mm/" xmlns:ev="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
        'xmlns:T="http://ns.adobe.com/tiff/1.0/" xmlns:E="http://ns.adobe.com/exif/1.0/" '
        'xmlns:P="http://ns.adobe.com/photoshop/1.0/" xmlns:X="http://ns.adobe.com/xap/1.0/" '
        f'{attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def properties(xmp: bytes) -> dict[str, str]:
    """The simple properties of all descriptions; a property that occurs twice is an error."""
    found: dict[str, str] = {}
    for description in ElementTree.fromstring(xmp).iter(f"{RDF}Description"):
        simple = [*description.attrib.items(), *((child.tag, child.text or "") for child in description)]
        for name, value in simple:
            assert name == f"{RDF}about" or name not in found, name
            found[name] = value
    return found


def events(xmp: bytes) -> list[str | None]:
    return [event.findtext(f"{EVENT}action") for event in ElementTree.fromstring(xmp).iter(f"{RDF}li")]


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_it_stands_in_every_format(format: str, opened: Opener, tmp_path: Path) -> None:
    scan = opened(pillow_bytes(ramp(), "PNG"), "a.png")
    compose(scan, scan.model_input(), colours(), OutputOptions(format), tmp_path / "out", MADE)
    with Image.open(tmp_path / "out") as image:
        xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
    found = properties(xmp)
    assert found[f"{IPTC}DigitalSourceType"] == COMPOSITE
    assert (found[f"{OWN}SourceKey"], found[f"{OWN}SourceSHA256"]) == (MADE.source_key, MADE.source_sha256)
    assert (found[f"{OWN}Software"], found[f"{OWN}Checkpoint"]) == ("Photochrom 0.1.0", "0123456789ab")
    assert found[f"{OWN}ColourizedAt"] == "2026-07-01T12:00:00Z"
    assert events(xmp) == ["edited"]


def test_statements_of_the_scan_s_own_xmp_stay(opened: Opener, tmp_path: Path) -> None:
    before = packet("<dc:creator><rdf:Seq><rdf:li>Lange &amp; Lee</rdf:li></rdf:Seq></dc:creator>", 'dc:source="box 7"')
    merged, readable = with_provenance(before, MADE)
    assert readable
    assert b"Lange &amp; Lee" in merged
    assert properties(merged)["{http://purl.org/dc/elements/1.1/}source"] == "box 7"
    assert merged.startswith(b"<?xpacket begin=")


@pytest.mark.parametrize(
    "before",
    [
        packet("", 'T:Orientation="6" T:ImageWidth="90" E:PixelXDimension="90" P:ColorMode="1" dc:format="image/tiff"'),
        packet("<T:Orientation>6</T:Orientation><T:BitsPerSample><rdf:Seq/></T:BitsPerSample><X:Thumbnails/>"),
    ],
)
def test_metadata_that_is_no_longer_true_of_the_pixels_is_removed(before: bytes) -> None:
    merged, readable = with_provenance(before, MADE)
    assert readable
    said = {name.split("}")[1] for name in properties(merged)}
    assert not said & {"Orientation", "ImageWidth", "BitsPerSample", "PixelXDimension", "ColorMode", "format"}
    assert "Thumbnails" not in said


@pytest.mark.parametrize(
    "before",
    [
        packet("", 'I:DigitalSourceType="http://cv/negativeFilm"'),
        packet("<I:DigitalSourceType>http://cv/negativeFilm</I:DigitalSourceType>"),
        packet('<I:DigitalSourceType rdf:resource="http://cv/negativeFilm"/>'),
    ],
)
def test_the_sources_own_type_moves_aside(before: bytes) -> None:
    found = properties(with_provenance(before, MADE)[0])
    assert found[f"{IPTC}DigitalSourceType"] == COMPOSITE
    assert found[f"{OWN}SourceDigitalSourceType"] == "http://cv/negativeFilm"


def test_the_history_goes_on() -> None:
    history = (
        "<mm:History><rdf:Seq><rdf:li rdf:parseType='Resource'><ev:action>created</ev:action></rdf:li>"
        "</rdf:Seq></mm:History>"
    )
    assert events(with_provenance(packet(history), MADE)[0]) == ["created", "edited"]


def test_a_second_time_it_says_nothing_twice() -> None:
    once = with_provenance(None, MADE)[0]
    twice = with_provenance(once, replace(MADE, checkpoint="new"))[0]
    assert properties(twice)[f"{OWN}Checkpoint"] == "new"
    assert events(twice) == ["edited", "edited"]


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
)


@pytest.mark.parametrize(
    "damaged",
    [b"no xml", b"<x/>", b"\xff\xfe\0", packet("<dc:a>"), BOMB, packet("<dc:a>" * 3000 + "</dc:a>" * 3000)],
    ids=["text", "no rdf", "bytes", "open", "bomb", "deep"],
)
def test_an_invalid_xmp_packet_is_replaced(damaged: bytes) -> None:
    merged, readable = with_provenance(damaged, MADE)
    assert not readable
    assert properties(merged)[f"{IPTC}DigitalSourceType"] == COMPOSITE


def test_a_packet_whose_wrapping_is_damaged_is_read() -> None:
    merged, readable = with_provenance(packet("", 'dc:source="box 7"')[1:], MADE)  # as in real scans of 2010
    assert readable
    assert properties(merged)["{http://purl.org/dc/elements/1.1/}source"] == "box 7"


@pytest.mark.parametrize("key", ["写真\u3000一.tif", "boîte\u00a07.tif", "می\u200cخواهم.tif", "👩\u200d🦰.tif"])
def test_a_key_is_shown_exactly(key: str) -> None:
    assert properties(with_provenance(None, replace(MADE, source_key=key))[0])[f"{OWN}SourceKey"] == key


@pytest.mark.parametrize("letter", ["\0", "\n", "\x1b", "\ud800", "\uffff"])
def test_a_letter_that_xml_can_not_hold_spoils_nothing_else(letter: str) -> None:
    merged, _ = with_provenance(None, replace(MADE, source_key=f"a{letter}b.tif"))
    assert properties(merged)[f"{OWN}SourceKey"] == "a\ufffdb.tif"


def test_another_source_type_can_be_said() -> None:
    asked = replace(MADE, source_type="compositeSynthetic")
    assert properties(with_provenance(None, asked)[0])[f"{IPTC}DigitalSourceType"].endswith("/compositeSynthetic")


def test_the_same_scan_gives_the_same_bytes() -> None:
    assert with_provenance(packet(""), MADE) == with_provenance(packet(""), MADE)
