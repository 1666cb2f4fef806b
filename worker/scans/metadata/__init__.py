"""Metadata that goes along with a scan: EXIF, XMP, IPTC, Photoshop resources, provenance."""
