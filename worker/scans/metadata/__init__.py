"""Metadata that is copied from a scan to its output: EXIF, XMP, IPTC, Photoshop resources; and the
output's provenance.
"""
