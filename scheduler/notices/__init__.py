"""Notices: they tell people when a job ends, a sample waits or a schedule fails.

`events` finds in the database's rows what happened. `outbox` keeps one row for each event and receiver, and sends it
until it is received. `receivers` knows the addresses.
"""
