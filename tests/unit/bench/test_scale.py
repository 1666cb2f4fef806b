"""The limits of `make scale`."""

from tests.bench import views


def test_only_the_query_that_sorts_all_scans_of_its_job_has_a_longer_limit() -> None:
    limits = {query: views.limit_seconds(query) for _, query in views.questions()}

    [longer] = [query for query, seconds in limits.items() if seconds != views.LIMIT_SECONDS]
    assert "FROM folder_outliers" in longer
    assert limits[longer] == 30
