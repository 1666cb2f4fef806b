"""Who is told when a job ends, a sample waits or a schedule fails.

`events` finds what happened, from rows; `outbox` keeps one row of it for each receiver and sends until it was received;
`receivers` knows the addresses.
"""
