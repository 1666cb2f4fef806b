"""`photochrom run`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from scheduler.cli import options as shared
from scheduler.cli.display.columns import printable
from scheduler.cli.display.live import follow
from scheduler.integrity.bag import Sealer, seal_last
from scheduler.report.store import write_report
from scheduler.standalone.folder_run import (
    STATE_FOLDER,
    check_checkpoint,
    check_folders,
    check_state_folder,
    failures,
    locked,
    progress_so_far,
    store_and_note_report,
    submit_missing,
    take_up_unfinished,
)
from scheduler.standalone.pages import start_pages, stay_open
from scheduler.standalone.system import System
from scheduler.submission.checkpoints import check_colours
from scheduler.submission.request import Submission, Submitted
from scheduler.submission.sampling import parse_sample
from scheduler.submission.submitter import Interrupted
from scheduler.text import counted
from worker.settings.settings import Settings, load_settings

app = typer.Typer()

_STATE_HELP = (
    "Folder of the job database and the logs, on a disk of this machine; default: .photochrom in the output folder."
)


@app.command()
@shared.with_output_options
def run(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of scans; nothing in it is changed.")],
    output_folder: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT_FOLDER", help="A folder for the outputs, outside FOLDER; it is made if it does not exist."
        ),
    ],
    state_folder: Annotated[Path | None, typer.Option(help=_STATE_HELP)] = None,
    sample: shared.Sample = None,
    heads: shared.Heads = None,
    saturations: shared.Saturations = None,
    web: shared.Web = False,
    features: shared.Features = None,
    *,
    options: dict[str, Any],
) -> None:
    """Colourize a folder of scans into another folder, on this machine alone.

    Run it again to continue after a stop, or for new scans: it does only what is missing. With --sample, it colours a
    few scans in several ways and stops. Then run it again with the --head and the --saturation that you choose.
    """
    settings, choices = load_settings(features=features), parse_sample(sample, heads, saturations)
    submission = Submission(folder, output_folder, missing_only=True, sample=choices, **options)
    output = check_folders(submission, settings.s3_options)
    check_checkpoint(settings)
    check_colours(settings, head=submission.head, embedding=submission.embedding)
    state = state_folder or output / STATE_FOLDER
    check_state_folder(state)
    with locked(output, state):
        system = System(state, with_s3=False, settings={"PHOTOCHROM_FEATURES": features} if features else {})
        run = FolderRun(system, submission, settings, output, web=web)
        try:
            status = run.colourize()
        except KeyboardInterrupt:
            raise Interrupted(run.interrupted()) from None
    raise typer.Exit(status)


class FolderRun:
    """One run. It works on its jobs one after the other, and shows a bar and a result for each."""

    def __init__(self, system: System, submission: Submission, settings: Settings, output: Path, *, web: bool) -> None:
        self._web = web
        self._system, self._submission, self._settings = system, submission, settings
        self._output = output
        self._console = Console()
        self._job_ids: list[int] = []

    def colourize(self) -> int:
        """Run everything. Returns the exit status: 1 if scans failed. With --web, the pages stay open until Ctrl-C."""
        with self._system as system:
            if self._web:
                self._print(f"pages: {start_pages(system)}")
            status = self._run_jobs(system)
            if self._web:
                if not self._job_ids:
                    system.start_processes()  # for what is submitted on the pages
                self._print("the pages stay open until Ctrl-C")
                stay_open(system)
        return status

    def _run_jobs(self, system: System) -> int:
        unfinished = take_up_unfinished(system.engine, self._submission, self._settings)
        self._job_ids = unfinished.job_ids
        for notice in unfinished.notices:
            self._print(notice)
        for job_id in self._job_ids:
            self._print(f"job {job_id} was submitted before, and is finished first")
        submitted = submit_missing(system.engine, self._submission, settings=self._settings)
        if submitted.replaced:
            self._print(f"{counted(submitted.replaced, 'existing output')} will be replaced")
        for sentence in submitted.passed_over():
            self._print(sentence)
        self._job_ids += [submitted.job_id] if submitted.job_id is not None else []
        if not self._job_ids:
            return self._nothing_to_do(submitted)
        system.start_processes()
        if submitted.samples:
            self._job_ids[-1:] = submitted.samples
        failed = [self._follow(job_id) for job_id in self._job_ids]
        if submitted.samples:
            self._write_sample(submitted)
        if self._submission.bag and not submitted.samples:
            self._print(Sealer(system.engine, s3=self._settings.s3_options).seal(self._job_ids[-1]).sentence())
        return 1 if any(failed) or submitted.damaged else 0

    def _write_sample(self, submitted: Submitted) -> None:
        """Write the report that shows the choices side by side."""
        assert submitted.job_id is not None
        path = self._output / f"photochrom-sample-{submitted.job_id}.html"
        s3 = self._settings.s3_options
        write_report(self._system.engine, submitted.job_id, path, s3=s3, settings=self._settings)
        self._print(f"sample: {path}; then run the same command again with the --head and --saturation of your choice")

    def interrupted(self) -> str:
        """What to print after Ctrl-C."""
        if not self._job_ids:
            return "stopped before the first scan; run the same command again to start"
        done, total = progress_so_far(self._system.engine, self._job_ids)
        return f"stopped; {done:,} of {counted(total, 'scan')} are done; run the same command again to continue"

    def _nothing_to_do(self, submitted: Submitted) -> int:
        every = "every other scan" if submitted.damaged else "every scan"
        self._print(f"Nothing to do: {self._submission.destination} has {every} of {self._submission.source} already.")
        if self._submission.bag:
            self._print(seal_last(self._system.engine, self._settings.s3_options).sentence())
        return 1 if submitted.damaged else 0

    def _follow(self, job_id: int) -> int:
        """Wait until the job is finished and its report is written. Returns how many scans failed."""
        system = self._system
        progress = follow(system.engine, job_id, self._console, check=system.check, trouble=system.trouble)
        report = store_and_note_report(system.engine, job_id, self._settings)
        folder = progress.job.destination
        if progress.skipped:
            self._print(f"skipped: {counted(progress.skipped, 'scan')}, in colour already")
        for scan in failures(system.engine, job_id):
            self._print(f"failed: {scan.source_key}: {scan.error_message}")
        self._print(f"done: {counted(progress.done, 'scan')}, in {folder}; {progress.failed} failed; report: {report}")
        return progress.failed

    def _print(self, sentence: str) -> None:
        self._console.print(Text(printable(sentence)))
