"""The table at the end of `photochrom demo`."""

from collections.abc import Sequence

from scheduler.cli.display.columns import Columns
from scheduler.cli.display.job_tables import seconds_of, size_of
from scheduler.standalone.demo import Result

CAPTION = "PSNR: dB against the colour original. grey: the PSNR of the scan itself, the grey baseline."


def sample_table(results: Sequence[Result]) -> Columns:
    """Each sample with its state, and how near its output is to the colour original."""
    lines = [
        (
            result.scan.state if result.scan.error_code is None else f"{result.scan.state}: {result.scan.error_code}",
            size_of(result.scan),
            seconds_of(result.scan),
            _decibels(result.psnr),
            _decibels(result.grey_psnr),
            result.scan.source_key,
        )
        for result in results
    ]
    heads = ("state", "size", "seconds", "PSNR", "grey", "scan")
    return Columns(heads, lines, numbers=heads[2:5])


def _decibels(psnr: float | None) -> str:
    return "" if psnr is None else f"{psnr:.2f}"
