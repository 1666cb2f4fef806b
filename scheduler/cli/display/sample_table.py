"""The table at the end of `photochrom demo`."""

from collections.abc import Sequence

from rich import box
from rich.table import Column, Table
from rich.text import Text

from scheduler.cli.display.job_tables import printable, seconds_of, size_of
from scheduler.standalone.demo import Result


def sample_table(results: Sequence[Result]) -> Table:
    """Each sample with its state and how near it came to the colour original."""
    # Eighty columns are enough for all but the keys, which are folded: cut short, one looks like the other.
    figures = (Column(name, no_wrap=True) for name in ("size", "seconds", "PSNR", "grey"))
    table = Table(
        Column("scan", overflow="fold"),
        "state",
        *figures,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption="PSNR: dB against the colour original; grey: the PSNR of the scan itself, without any colour",
    )
    for result in results:
        scan = result.scan
        table.add_row(
            Text(printable(scan.source_key)),
            Text(scan.state if scan.error_code is None else f"{scan.state}: {scan.error_code}"),
            size_of(scan),
            seconds_of(scan),
            _decibels(result.psnr),
            _decibels(result.grey_psnr),
        )
    return table


def _decibels(psnr: float | None) -> str:
    return "" if psnr is None else f"{psnr:.2f}"
