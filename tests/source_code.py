"""The project's source files, parsed once, and counts of what they contain."""

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("db", "worker", "scheduler")

# Words that do not say what a name stands for.
BARE_WORDS = frozenset({
    "about", "asked", "at", "beside", "each", "found", "given", "how", "kind",
    "known", "least", "made", "met", "most", "near", "others", "own", "rest",
    "said", "some", "taken", "there", "told", "wanted", "what", "who", "why",
})  # fmt: skip


def source_files(part: str) -> list[Path]:
    """The file `part`, or all Python files below the folder `part`; the path begins at the project's folder."""
    path = ROOT / part
    return [path] if path.suffix else sorted(path.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """The names of the modules that a file imports, and of the objects that it imports from them."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_at_the_top(path: Path, modules: Collection[str]) -> Iterator[str]:
    """Those of `modules` that are loaded with the file: imported outside of functions, and not only for type checks."""
    for node in parsed(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else node.module for name in names)


def attributes(path: Path) -> Iterator[str]:
    """All attributes that are used, such as `os.environ`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def hand_written() -> list[Path]:
    """All files except migrations."""
    files = [path for package in PACKAGES for path in source_files(package)]
    return [path for path in files if "migrations" not in path.parts]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def modules_by_folder() -> Counter[str]:
    """The modules of each folder, without `__init__` and `__main__`."""
    return Counter(
        str(path.parent.relative_to(ROOT))
        for package in PACKAGES
        for path in source_files(package)
        if path.name not in ("__init__.py", "__main__.py") and "versions" not in path.parts
    )


def bound_names(path: Path) -> Iterator[str]:
    """The names of all variables and arguments."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
            yield node.arg


def imports_in_functions(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    inner = {
        id(node): node
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    yield from inner.values()
