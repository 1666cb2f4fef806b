"""Recognizes files that programs and systems leave beside scans: thumbnails, trash, snapshots, resource forks."""

import re

# Names from Synology, QNAP, Buffalo, NetApp, Windows, macOS and Linux; upper and lower case don't matter.
_FOLDERS = frozenset(
    {
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@snapshot",
        "@__thumb",
        "@tmp",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "trashbox",
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "__macosx",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
        "resource.frk",
        "lost+found",
    }
)
# What Windows saves from a damaged disk (FOUND.000), and Samba's names of earlier versions.
_NUMBERED = re.compile(r"found\.[0-9]{3}|@gmt-[0-9.-]+")


def is_leftover(key: str) -> bool:
    """Whether a part of the key is the name of a leftover or is hidden: `._1.tif`, `.thumbnails/1.png`,
    `.Trash-1000/`.
    """
    return any(map(_is_leftover, key.split("/")))


def _is_leftover(name: str) -> bool:
    folded = name.casefold()
    return name.startswith(".") or folded in _FOLDERS or _NUMBERED.fullmatch(folded) is not None
