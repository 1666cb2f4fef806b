"""A LIMIT that holds: rows that a query chooses for a change."""

from sqlalchemy import CTE, Select


def chosen_ids(ids: Select[int]) -> CTE:
    """The ids that a SELECT with a LIMIT gives, as a set that PostgreSQL computes once.

    PostgreSQL may run a plain subquery again for each row, as the inner side of a join. Each run skips the rows that
    earlier runs have locked, so the limit would hold for each run and not for all together: with stale statistics, 16
    chunks became 8,000.
    """
    return ids.cte("chosen").prefix_with("MATERIALIZED")
