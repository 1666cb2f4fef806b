"""Commands that take the options of submit."""

from inspect import signature

from scheduler.cli.commands.jobs.submit import submit
from scheduler.cli.commands.schedule import add

# Options that make no sense for a job that runs every night.
NOT_NIGHTLY = {
    *("sample", "heads", "saturations", "name", "missing_only", "overwrite", "redo_all", "overwrite_accepted"),
    *("output_prefix", "dry_run", "json"),
}


def test_a_schedule_takes_every_option_of_submit() -> None:
    submitted, nightly = (signature(command).parameters for command in (submit, add))

    assert set(submitted) - NOT_NIGHTLY <= set(nightly)
    assert all(nightly[name].default == submitted[name].default for name in set(submitted) & set(nightly) - {"name"})
