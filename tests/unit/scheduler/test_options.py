"""Commands that take what submit takes."""

from inspect import signature

from scheduler.cli.commands import jobs, schedules

# What makes no sense night after night.
NOT_NIGHTLY = {"name", "missing_only", "overwrite", "dry_run", "json"}


def test_a_schedule_takes_every_option_of_submit() -> None:
    submit, add = (signature(command).parameters for command in (jobs.submit, schedules.add))

    assert set(submit) - NOT_NIGHTLY <= set(add)
    assert all(add[name].default == submit[name].default for name in set(submit) & set(add) - {"name"})
