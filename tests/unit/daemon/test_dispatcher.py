"""How the places in the broker's queue are shared between jobs."""

from scheduler.daemon.dispatcher import share


def test_an_urgent_job_takes_all_it_can_use() -> None:
    assert share(5, [(7, 10, 3, 0), (1, 0, 100, 0)]) == {7: 3, 1: 2}


def test_jobs_of_equal_priority_even_out_what_they_have_out() -> None:
    assert share(4, [(1, 0, 100, 3), (2, 0, 100, 1)]) == {1: 1, 2: 3}


def test_no_room_sends_nothing() -> None:
    assert share(0, [(1, 0, 100, 0)]) == {}
    assert share(-3, [(1, 0, 100, 0)]) == {}


def test_room_is_not_given_to_a_job_that_has_nothing_waiting() -> None:
    assert share(10, [(1, 0, 2, 0), (2, 0, 1, 0)]) == {1: 2, 2: 1}


def test_an_urgent_job_takes_the_places_of_less_urgent_chunks_that_are_queued() -> None:
    assert share(4, [(2, 9, 3, 0), (1, 0, 100, 4)], [(0, 4)]) == {2: 3}


def test_a_job_takes_no_place_from_a_job_that_is_at_least_as_urgent() -> None:
    assert share(4, [(2, 0, 3, 0)], [(0, 3), (9, 1)]) == {}
    assert share(4, [(3, 9, 9, 0), (2, 5, 9, 0)], [(9, 2), (0, 2)]) == {3: 2}
