"""The pool: workers, schedulers, work that waits, throughput."""
