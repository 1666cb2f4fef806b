"""What programs and systems leave beside scans: thumbnails, trash, halves of files of other systems. No scans."""

# Of Synology, QNAP, Windows, macOS and Linux; without the difference of capitals.
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
    """Whether a part of the key is a leftover's name, or hidden: `._1.tif`, `.thumbnails/1.png`, `.Trash-1000/`."""
    return any(part.startswith(".") or part.casefold() in _FOLDERS for part in key.split("/"))
