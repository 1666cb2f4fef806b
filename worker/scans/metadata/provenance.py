"""The provenance of an output, as XMP: it says how the output was made, so that nobody takes it for an original.

ISO 16684-1 (XMP); IPTC Photo Metadata Standard 2025.1 (Digital Source Type, AI System Used); the XMP Media Management
schema's History; and `photochrom:` for what no standard has a place for.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.dom import minidom

from worker.scans.metadata import xmp

_RDF, _XMLNS = xmp.RDF, xmp.XMLNS
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_MEDIA = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_OWN = "urn:photochrom:provenance#"
_PREFIXES = {
    "rdf": _RDF,
    "Iptc4xmpExt": _IPTC,
    "xmp": _XMP,
    "xmpMM": _MEDIA,
    "stEvt": _EVENT,
    "photochrom": _OWN,
}
_NO_XML = re.compile("[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an output was made. `made_at` is the job's time, so that a second attempt gives the same bytes."""

    software: str  # with its version
    checkpoint: str  # its id, which is a digest of its weights
    source_key: str
    source_sha256: str
    made_at: datetime
    source_type: str = "compositeWithTrainedAlgorithmicMedia"  # of IPTC's NewsCodes, or any URI
    head: str | None = None  # paper or vivid
    embedding: str | None = None
    saturation: float | None = None  # the factor of a and b, 0..2
    precision: str | None = None  # float32, bfloat16 or int8
    input_px: int | None = None  # the side of the square that the network saw
    model: str | None = None  # the name in the checkpoint's card
    checkpoint_sha256: str | None = None  # of the list of the checkpoint's weight files; `checkpoint` is its beginning


def source_type_uri(name: str) -> str:
    """A digital source type as a URI. A name without a scheme is one of IPTC's NewsCodes."""
    return name if ":" in name else _SOURCE_TYPES + name


def with_provenance(packet: bytes | None, provenance: Provenance) -> tuple[bytes, bool]:
    """An XMP packet with everything in `packet` and the provenance, and whether `packet` could be read."""
    document = xmp.parsed(packet) if packet else None
    readable = document is not None or not packet
    document = document or minidom.parseString(xmp.EMPTY)  # noqa: S318 -- a constant
    try:
        _merge(document, provenance)
        return xmp.packed(document), readable
    except RecursionError:
        return with_provenance(None, provenance)[0], False


def _merge(document: minidom.Document, provenance: Provenance) -> None:
    rdf = xmp.rdf_of(document)
    subject, earlier_type = "", ""
    for old in xmp.descriptions(document):
        subject = old.getAttributeNS(_RDF, "about") or subject
        earlier_type = _take_old(old) or earlier_type
    description = _new(document, "rdf:Description", {"rdf:about": subject, **_properties(provenance, earlier_type)})
    for prefix, uri in _PREFIXES.items():
        description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", uri)
    rdf.appendChild(description)
    _history(document, rdf, description).appendChild(_event(document, provenance))


def _properties(provenance: Provenance, earlier_type: str) -> dict[str, str]:
    earlier = {"photochrom:SourceDigitalSourceType": earlier_type} if earlier_type else {}
    return {
        "Iptc4xmpExt:DigitalSourceType": source_type_uri(provenance.source_type),
        "Iptc4xmpExt:AISystemUsed": provenance.software,
        "Iptc4xmpExt:AISystemVersionUsed": f"checkpoint {provenance.checkpoint}",
        "xmp:MetadataDate": _time(provenance),
        "photochrom:Software": provenance.software,
        "photochrom:Checkpoint": provenance.checkpoint,
        "photochrom:SourceKey": provenance.source_key,
        "photochrom:SourceSHA256": provenance.source_sha256,
        "photochrom:ColourizedAt": _time(provenance),
        **_how(provenance),
        **earlier,
    }


def _how(provenance: Provenance) -> dict[str, str]:
    """The options of the prediction, and the precision and input size that were used. Unknown ones are left out."""
    values = {
        "photochrom:Head": provenance.head,
        "photochrom:Embedding": provenance.embedding,
        "photochrom:Saturation": None if provenance.saturation is None else f"{provenance.saturation:g}",
        "photochrom:Precision": provenance.precision,
        "photochrom:InputPixels": None if provenance.input_px is None else str(provenance.input_px),
    }
    return {name: value for name, value in values.items() if value is not None}


_TIFF, _EXIF, _PHOTOSHOP = (f"http://ns.adobe.com/{name}/1.0/" for name in ("tiff", "exif", "photoshop"))
_DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"

# Properties of the source's pixels. An output is upright and in sRGB, and gives its size and depth where its format
# does.
_OF_PIXELS = {
    *((_TIFF, name) for name in ("Orientation", "ImageWidth", "ImageLength")),
    *((_TIFF, name) for name in ("BitsPerSample", "SamplesPerPixel", "Compression", "PhotometricInterpretation")),
    *((_TIFF, name) for name in ("PlanarConfiguration", "YCbCrSubSampling", "YCbCrPositioning")),
    *((_EXIF, name) for name in ("ColorSpace", "PixelXDimension", "PixelYDimension")),
    *((_PHOTOSHOP, name) for name in ("ColorMode", "ICCProfile")),
    (_DUBLIN_CORE, "format"),
    (_XMP, "Thumbnails"),
}
_REPLACED = {
    (_IPTC, "DigitalSourceType"),
    (_IPTC, "AISystemUsed"),
    (_IPTC, "AISystemVersionUsed"),
    (_XMP, "MetadataDate"),
    (xmp.NOTE, xmp.HAS_EXTENDED),  # the second part is joined again, or lost
}


def _take_old(description: minidom.Element) -> str:
    """Remove properties that are written again or are no longer true. Returns the source's own digital source type."""
    source_type = ""
    attributes = description.attributes
    for place in reversed(range(attributes.length)):
        node = attributes.item(place)
        assert isinstance(node, minidom.Attr)
        if _is_replaced(node.namespaceURI, node.localName):
            source_type = node.value if node.localName == "DigitalSourceType" else source_type
            description.removeAttributeNode(node)
    for child in list(description.childNodes):
        if isinstance(child, minidom.Element) and _is_replaced(child.namespaceURI, child.localName):
            if child.localName == "DigitalSourceType":
                text = "".join(part.data for part in child.childNodes if isinstance(part, minidom.Text))
                source_type = child.getAttributeNS(_RDF, "resource") or text.strip()
            description.removeChild(child)
    return source_type


def _is_replaced(namespace: str | None, name: str | None) -> bool:
    return namespace == _OWN or (namespace, name) in _REPLACED | _OF_PIXELS


def _history(document: minidom.Document, rdf: minidom.Element, description: minidom.Element) -> minidom.Element:
    """The list of the file's edits: the existing one, or a new one in `description`."""
    for history in rdf.getElementsByTagNameNS(_MEDIA, "History"):
        for events in history.getElementsByTagNameNS(_RDF, "Seq"):
            return events
    events = _new(document, "rdf:Seq", {})
    history = _new(document, "xmpMM:History", {})
    history.appendChild(events)
    description.appendChild(history)
    return events


def _event(document: minidom.Document, provenance: Provenance) -> minidom.Element:
    event = _new(
        document,
        "rdf:li",
        {
            "rdf:parseType": "Resource",
        },
    )
    for prefix in ("rdf", "stEvt"):
        event.setAttributeNS(_XMLNS, f"xmlns:{prefix}", _PREFIXES[prefix])
    for name, text in (
        ("action", "edited"),
        ("when", _time(provenance)),
        ("softwareAgent", provenance.software),
        ("parameters", f"colourized by checkpoint {provenance.checkpoint}"),
    ):
        element = _new(document, f"stEvt:{name}", {})
        element.appendChild(document.createTextNode(text))
        event.appendChild(element)
    return event


def _new(document: minidom.Document, name: str, attributes: dict[str, str]) -> minidom.Element:
    element = document.createElementNS(_PREFIXES[name.split(":")[0]], name)
    for attribute, value in attributes.items():
        element.setAttributeNS(_PREFIXES[attribute.split(":")[0]], attribute, _holdable(value))
    return element


def _holdable(text: str) -> str:
    """The text without characters that XML can't hold (XML 1.0, 2.2; 3.3.3 for line ends): a key may have such."""
    return _NO_XML.sub("\ufffd", text)


def _time(provenance: Provenance) -> str:
    return provenance.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
