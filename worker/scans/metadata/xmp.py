"""XMP packets: parses and writes them, and splits them if they are too long for a segment of a JPEG.

The second part, extended XMP, is a separate packet, cut into segments. The first part names it by its MD5. ISO 16684-1;
Adobe's XMP specification, part 3, 1.1.3.1.
"""

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from defusedxml import minidom as defused_minidom

from worker.scans.formats.metadata_limits import MAX_XMP_BYTES

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TIFF = "http://ns.adobe.com/tiff/1.0/"
XMLNS = "http://www.w3.org/2000/xmlns/"
MAX_PORTION = 65_400  # bytes of extended XMP in a segment, by the standard

NOTE, HAS_EXTENDED = "http://ns.adobe.com/xmp/note/", "HasExtendedXMP"

_NAMED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")
_PORTION = struct.Struct(">32sII")  # the whole's MD5 in hexadecimal, its length, this portion's place in it
_ORIENTATIONS = tuple("12345678")
_ANCESTORS, _ANCESTORS_END = b"<photoshop:DocumentAncestors", b"</photoshop:DocumentAncestors>"
_END = b"</x:xmpmeta>"
EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'


def parsed(packet: bytes) -> minidom.Document | None:
    """The parsed packet; None if it is not valid XMP."""
    if len(packet) > MAX_XMP_BYTES:
        return None
    try:
        document: minidom.Document = defused_minidom.parseString(_element(packet), forbid_dtd=True)
        sound = document.getElementsByTagNameNS(RDF, "RDF")
    except (ExpatError, ValueError, RecursionError):  # defusedxml's own errors are ValueErrors
        return None
    return document if sound else None


def without_ancestors(packet: bytes) -> bytes:
    """The packet without Photoshop's list of all documents that were ever pasted into it, which may have megabytes."""
    start = packet.find(_ANCESTORS)
    end = packet.rfind(_ANCESTORS_END)
    return packet[:start] + packet[end + len(_ANCESTORS_END) :] if 0 <= start < end else packet


def packed(document: minidom.Document) -> bytes:
    """The document as a packet. Raises RecursionError for one that is nested too deep."""
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    return (begin + _text(document) + '\n<?xpacket end="w"?>').encode("utf-8", "replace")


def rdf_of(document: minidom.Document) -> minidom.Element:
    return document.getElementsByTagNameNS(RDF, "RDF")[0]


def descriptions(document: minidom.Document) -> list[minidom.Element]:
    """The descriptions that are not inside another description."""
    rdf = rdf_of(document)
    return [node for node in rdf.getElementsByTagNameNS(RDF, "Description") if node.parentNode is rdf]


def joined(packet: bytes, portions: Sequence[bytes]) -> tuple[bytes | None, bool]:
    """A packet joined with the extended XMP that it names; None if the parts are incomplete or damaged.

    Also returns whether a list of ancestors was left out, because the packet would be too long with it.
    """
    whole = remainder = _assembled(packet, portions)
    if len(whole) > MAX_XMP_BYTES:
        remainder = without_ancestors(whole)
    document, extended = parsed(packet), parsed(remainder)
    if document is None or extended is None:
        return None, False
    try:
        for description in descriptions(extended):
            _declare_prefixes(description)
            rdf_of(document).appendChild(document.importNode(description, deep=True))
        return packed(document), len(remainder) < len(whole)
    except RecursionError:
        return None, False


def split(packet: bytes) -> tuple[bytes, bytes]:
    """A packet with only the last of the descriptions, which names the extended XMP; and the extended XMP with the
    others.
    """
    first, remainder = parsed(packet), parsed(packet)
    assert first is not None
    assert remainder is not None
    last = descriptions(remainder)[-1]
    rdf_of(remainder).removeChild(last)
    extended = _text(remainder).encode("utf-8", "replace")
    *earlier, kept = descriptions(first)
    for description in earlier:
        rdf_of(first).removeChild(description)
    kept.setAttributeNS(XMLNS, "xmlns:xmpNote", NOTE)
    kept.setAttributeNS(NOTE, f"xmpNote:{HAS_EXTENDED}", _md5(extended).decode())
    return packed(first), extended


def portions_of(extended: bytes) -> Iterator[bytes]:
    """Extended XMP as contents of segments, without the signature with which each segment begins."""
    for place in range(0, len(extended), MAX_PORTION):
        yield _PORTION.pack(_md5(extended), len(extended), place) + extended[place : place + MAX_PORTION]


def orientation_of(packet: bytes) -> int:
    """The value of `tiff:Orientation`, 1..8; 0 if there is none or the packet can't be read."""
    document = parsed(packet) if b"Orientation" in packet else None
    if document is None:
        return 0
    for description in document.getElementsByTagNameNS(RDF, "Description"):
        elements = description.getElementsByTagNameNS(TIFF, "Orientation")
        texts = [str(node.firstChild.nodeValue) for node in elements if node.firstChild]
        text = description.getAttributeNS(TIFF, "Orientation") or "".join(texts)
        if text.strip() in _ORIENTATIONS:
            return int(text)
    return 0


def names_extended(packet: bytes) -> bool:
    """Whether the packet names a second part, which may be missing."""
    return _NAMED.search(packet) is not None


def _assembled(packet: bytes, portions: Sequence[bytes]) -> bytes:
    """The extended XMP that the packet names; empty if it is not complete."""
    named = _NAMED.search(packet)
    parts: dict[int, bytes] = {}
    for portion in portions:
        if len(portion) >= _PORTION.size and named:
            md5, _, place = _PORTION.unpack_from(portion)
            if md5.upper() == named[1].upper():
                parts[place] = portion[_PORTION.size :]
    whole = b"".join(parts[place] for place in sorted(parts))
    return whole if named and _md5(whole) == named[1].upper() else b""


def _md5(extended: bytes) -> bytes:
    """The MD5 in the form that the standard requires. It is not used for security."""
    return hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()


def _declare_prefixes(description: minidom.Element) -> None:
    """Declare the prefixes of the elements around it in the element itself, so that it can be moved."""
    around = description.parentNode
    while isinstance(around, minidom.Element):
        for place in range(around.attributes.length):
            node = around.attributes.item(place)
            assert isinstance(node, minidom.Attr)
            if node.namespaceURI == XMLNS and not description.hasAttribute(node.name):
                description.setAttributeNS(XMLNS, node.name, node.value)
        around = around.parentNode


def _element(packet: bytes) -> bytes:
    """The packet without its wrapper, in which some scanners' software makes mistakes."""
    start, end = packet.find(b"<x:xmpmeta"), packet.rfind(_END)
    return packet[start : end + len(_END)] if 0 <= start < end else packet.strip(b"\0 \r\n\t")


def _text(document: minidom.Document) -> str:
    assert document.documentElement is not None
    return document.documentElement.toxml()
