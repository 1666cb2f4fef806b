"""Photochrom as a wheel installs it: one package, which holds the repository's folders db/, worker/ and scheduler/.

Names as common as `db` and `scheduler` must not lie open in site-packages: another distribution that has one would
overwrite ours, or be overwritten. So the wheel puts them into photochrom/code/, and only a process of Photochrom's own
puts that folder in front of its path. A clone has no photochrom/code/, and the folders are found where they are.
"""

import os
import sys
from pathlib import Path

CODE = Path(__file__).parent / "code"
PACKAGES = ("db", "worker", "scheduler")


def main() -> None:
    """The command `photochrom`."""
    use_code()
    # On the path only from here on.
    from scheduler.cli import main as command

    command()


def use_code() -> None:
    """Make `db`, `worker` and `scheduler` importable, here and in the Python processes that this one starts.

    Raises ImportError when this process has already loaded other packages of these names.
    """
    if not CODE.is_dir() or str(CODE) in sys.path[:1]:
        return
    _refuse_others()
    sys.path.insert(0, str(CODE))
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CODE), inherited] if inherited else [str(CODE)])


def _refuse_others() -> None:
    for name in PACKAGES:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not Path(file).is_relative_to(CODE):
            raise ImportError(
                f"the module {name} of {file} is already loaded, and Photochrom has a package of that name; "
                "import photochrom and call photochrom.use_code() before it, or use another process"
            )
