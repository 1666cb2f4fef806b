"""Finds other paths to a folder.

A file system, or a part of it, may be mounted at several places, for example by bind mounts.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The beginnings of the types of file systems of other machines: of servers, of clusters, of object stores, and of the
# host of a virtual machine.
_NETWORK_KINDS = (
    *("nfs", "cifs", "smb", "afs", "ncpfs", "coda", "davfs", "fuse.davfs", "fuse.sshfs", "fuse.curlftpfs"),
    *("fuse.gvfsd-fuse", "fuse.smbnetfs"),
    *("ceph", "fuse.ceph", "lustre", "gpfs", "beegfs", "fhgfs", "panfs", "pvfs2", "orangefs", "wekafs"),
    *("fuse.glusterfs", "fuse.mfs", "fuse.moosefs", "fuse.lizardfs", "fuse.quobyte", "fuse.juicefs", "fuse.seaweedfs"),
    *("fuse.s3fs", "fuse.gcsfuse", "gcsfuse", "fuse.goofys", "fuse.geesefs", "fuse.mount-s3", "fuse.mountpoint-s3"),
    *("fuse.blobfuse", "fuse.rclone", "fuse.s3ql", "fuse.s3backer", "fuse.google-drive-ocamlfuse", "fuse.onedriver"),
    *("9p", "virtiofs", "vboxsf", "vmhgfs", "fuse.vmhgfs", "prl_fs", "fuse.prl_fsd", "fakeowner", "fuse.osxfs"),
    "fuse.grpcfuse",
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    device: str  # of the file system, "major:minor"
    root: Path  # the folder of the file system that is mounted at `point`
    point: Path
    filesystem: str  # its type: ext4, tmpfs, nfs


def read_mounts(table: Path = Path("/proc/self/mountinfo")) -> list[Mount]:
    """Every mount that this process sees, in the order in which they were made; none if the system is not Linux."""
    try:
        lines = table.read_text("utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return []
    rows = (line.split(" ") for line in lines if line)
    # Optional fields come before the "-", the type comes after it.
    return [Mount(row[2], _path(row[3]), _path(row[4]), row[row.index("-", 6) + 1]) for row in rows]


def paths_within(folder: Path, mounts: Sequence[Mount]) -> Iterator[Path]:
    """Every path to `folder`, and to what is mounted inside it. `folder` is resolved; it need not exist."""
    # Path.exists() raises for folders that may not be read.
    present = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    for path in _paths_to(present, mounts):
        yield path / folder.relative_to(present)
    for mount in mounts:
        if mount.point != folder and mount.point.is_relative_to(folder):
            yield from _paths_to(mount.point, mounts)


def network_share(path: Path, mounts: Sequence[Mount] | None = None) -> str | None:
    """The type of the network file system of `path`, such as nfs4; None for a disk of this machine."""
    absolute = Path(os.path.realpath(path))
    over = [mount for mount in (read_mounts() if mounts is None else mounts) if absolute.is_relative_to(mount.point)]
    if not over:
        return None
    deepest = max(len(mount.point.parts) for mount in over)
    top = [mount for mount in over if len(mount.point.parts) == deepest][-1]
    return top.filesystem if top.filesystem.startswith(_NETWORK_KINDS) else None


def is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # it does not exist yet or may not be read, so only its path can be compared
        return False


def _paths_to(folder: Path, mounts: Sequence[Mount]) -> Iterator[Path]:
    over = [mount for mount in mounts if folder.is_relative_to(mount.point)]
    if not over:
        return
    # Of several mounts at one point, the last hides the others.
    deepest = max(len(mount.point.parts) for mount in over)
    mount_of_folder = [mount for mount in over if len(mount.point.parts) == deepest][-1]
    inner = mount_of_folder.root / folder.relative_to(mount_of_folder.point)
    for mount in mounts:
        if mount.device == mount_of_folder.device and inner.is_relative_to(mount.root):
            path = mount.point / inner.relative_to(mount.root)
            # NFS calls every root "/", and another mount may hide the path.
            if is_same(path, folder):
                yield path


def _path(text: str) -> Path:
    return Path(_ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), text))
