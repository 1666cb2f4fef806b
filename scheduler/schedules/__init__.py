"""Nightly jobs: when a schedule is due, and the jobs that it starts."""
