"""`python -m scheduler` is the `photochrom` command."""

from scheduler.cli import main

main()
