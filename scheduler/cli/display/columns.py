"""Rows of text in aligned columns. The last column is shortened or printed in full, and never broken into lines."""

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = "  "
LAST_MIN_WIDTH = 12
LEFT_OUT = "…"


class Columns:
    """A renderable for Rich: a line with the heads, and one for each row.

    `numbers`: the columns that are aligned on the right. `shorten`: whether the last cell is shortened to fit the line.
    If it is not, print with soft_wrap=True, so that a key can be copied as one piece.
    """

    def __init__(
        self, heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = (), shorten: bool = False
    ) -> None:
        # A column that is empty in every row is left out.
        shown = [number for number in range(len(heads)) if number == len(heads) - 1 or any(row[number] for row in rows)]
        self._heads = [heads[number] for number in shown]
        self._rows = [[printable(row[number]) for number in shown] for row in rows]
        self._numbers = {place for place, head in enumerate(self._heads) if head in numbers}
        self._shorten = shorten

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [self._heads, *self._rows]
        widths = [max(cell_len(line[place]) for line in lines) for place in range(len(self._heads) - 1)]
        room = max(LAST_MIN_WIDTH, options.max_width - sum(widths) - len(GAP) * len(widths))
        for number, line in enumerate(lines):
            last = shortened(line[-1], room) if self._shorten else line[-1]
            cells = [self._aligned(cell, place, width) for place, (cell, width) in enumerate(zip(line, widths))]  # noqa: B905
            yield Text(
                GAP.join([*cells, last]).rstrip(), "bold" if number == 0 else "", no_wrap=True, overflow="ignore"
            )

    def _aligned(self, cell: str, place: int, width: int) -> str:
        padding = " " * (width - cell_len(cell))
        return padding + cell if place in self._numbers else cell + padding


def shortened(path: str, width: int) -> str:
    """A path in at most `width` columns of the terminal.

    Its middle is left out; its last part is kept whole if it fits.
    """
    if cell_len(path) <= width:
        return path
    last = f"{LEFT_OUT}/{path.rstrip('/').rpartition('/')[2]}"
    if cell_len(last) <= width:
        return (chop_cells(path, width - cell_len(last))[0] if width > cell_len(last) else "") + last
    half = (width - 1) // 2
    return chop_cells(path, half)[0] + LEFT_OUT + chop_cells(path[::-1], half)[0][::-1]


def printable(text: str) -> str:
    """The text with control and direction marks as escapes.

    Keys come from outside, and such marks could move the cursor.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
