"""Recognizes files that programs and systems leave beside scans: thumbnails, trash, resource forks."""

# Names from Synology, QNAP, Windows, macOS and Linux; upper and lower case don't matter.
_FOLDERS = frozenset(
    {
        "@eadir",
        "@recycle",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "lost+found",
    }
)


def is_leftover(key: str) -> bool:
    """Whether a part of the key is the name of a leftover or is hidden: `._1.tif`, `.thumbnails/1.png`,
    `.Trash-1000/`.
    """
    return any(part.startswith(".") or part.casefold() in _FOLDERS for part in key.split("/"))
