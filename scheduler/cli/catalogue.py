"""Every command by name, with its line in `photochrom --help` and its module."""

from dataclasses import dataclass

LOCAL, JOBS, PROCESSES, OPERATION, MODEL = "On this machine alone", "Jobs", "Processes", "Operation", "Model"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One line of `photochrom --help`; `summary` is the first paragraph of the command's own help."""

    panel: str
    module: str  # below scheduler.cli.commands; its Typer app is named `app`
    summary: str
    is_group: bool = False  # the module's whole app is the command, as in `photochrom schedule add`
    hidden: bool = False


COMMANDS = {
    "demo": CommandEntry(LOCAL, "demo", "Colourize sample scans, to see how everything works together."),
    "run": CommandEntry(LOCAL, "run", "Colourize a folder of scans into another folder, on this machine alone."),
    "submit": CommandEntry(JOBS, "jobs.submit", "Submit a job: colourize every scan in SOURCE into DESTINATION."),
    "status": CommandEntry(JOBS, "jobs.status", "Show the progress of jobs, or what each worker is doing."),
    "scans": CommandEntry(JOBS, "jobs.scans", "List the scans of a job with their results, or one scan in all jobs."),
    "approve": CommandEntry(
        JOBS, "jobs.sample", "Colour the other scans of a sampled job, in the way that you choose."
    ),
    "reject": CommandEntry(JOBS, "jobs.sample", "End a sampled job: its other scans are not coloured."),
    "pause": CommandEntry(JOBS, "jobs.control", "Pause a job: scans in progress are finished, no others are started."),
    "resume": CommandEntry(JOBS, "jobs.control", "Continue a paused job."),
    "cancel": CommandEntry(JOBS, "jobs.control", "Cancel a job for good: finished outputs stay, no others are made."),
    "retry": CommandEntry(JOBS, "jobs.retry", "Try the failed scans of a job again."),
    "priority": CommandEntry(JOBS, "jobs.control", "Change the priority of a job."),
    "report": CommandEntry(JOBS, "jobs.report", "Write a job's report: figures, failures and before/after pictures."),
    "jobs": CommandEntry(JOBS, "jobs.old", "Archive or delete old jobs, so that the job database stays small.", True),
    "verify": CommandEntry(JOBS, "jobs.verify", "Check that a job's sources and outputs are still as recorded."),
    "bag": CommandEntry(JOBS, "jobs.bag", "Complete a job's destination as a BagIt bag."),
    "review": CommandEntry(JOBS, "jobs.review", "List the outputs that need review; accept, reject or redo them."),
    "schedule": CommandEntry(JOBS, "schedule", "Submit new and changed scans at set times, such as every night.", True),
    "worker": CommandEntry(PROCESSES, "processes", "Run a worker, which colourizes scans. Start one on each machine."),
    "scheduler": CommandEntry(
        PROCESSES, "processes", "Run the scheduler, which hands out work. One is enough, two are safe."
    ),
    "web": CommandEntry(PROCESSES, "web", "Serve the pages for a browser, and the HTTP API."),
    "notices": CommandEntry(OPERATION, "notices", "Manage the notices that tell people what happened.", True),
    "users": CommandEntry(OPERATION, "users", "Manage who may use the pages and the HTTP API.", True),
    "db": CommandEntry(PROCESSES, "db", "Prepare the job database.", True),
    "doctor": CommandEntry(OPERATION, "diagnostics", "Check everything that this machine needs, and say what to do."),
    "health": CommandEntry(
        OPERATION, "diagnostics", "Ask whether the worker, the scheduler or the web process on this machine is ready."
    ),
    "settings": CommandEntry(OPERATION, "diagnostics", "List every setting: its value, its default and its meaning."),
    "bench": CommandEntry(OPERATION, "bench", "Measure how fast this machine is."),
    "train": CommandEntry(MODEL, "training", "Train a checkpoint on colour photos."),
    "cross-fit": CommandEntry(MODEL, "training", "Predict each photo's colours by a model fitted on the other photos."),
    "expect": CommandEntry(MODEL, "training", "The earlier name of cross-fit.", hidden=True),
    "evaluate": CommandEntry(MODEL, "training", "Measure a checkpoint on colour photos, beside two baselines."),
    "models": CommandEntry(MODEL, "models", "Show a checkpoint: its heads, embeddings, figures, limits and ids."),
}
