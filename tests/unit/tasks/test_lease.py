"""What a child may rely on about its lease."""

import time

from worker.system.boot_clock import boot_seconds
from worker.tasks.lease import Lease


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_is_held_for_its_time_from_before_it_was_asked_for() -> None:
    clock = Clock()
    lease = Lease(10, clock() - 4, clock)

    clock.now += 5.9
    held = lease.is_held()
    clock.now += 0.2

    assert (held, lease.is_held()) == (True, False)


def test_an_extension_makes_a_lease_longer_and_never_brings_a_lost_one_back() -> None:
    clock = Clock()
    lease = Lease(10, clock(), clock)
    clock.now += 60
    lease.extend(clock())
    held = lease.is_held()
    lease.lose()
    lease.extend(clock())

    assert (held, lease.is_held()) == (True, False)


def test_the_clock_of_leases_goes_on_while_the_machine_is_suspended() -> None:
    """CLOCK_MONOTONIC stops while the machine is suspended, so a lease would seem to be valid for too long."""
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()

    assert abs(boot_seconds() - time.monotonic() - suspended) < 60
