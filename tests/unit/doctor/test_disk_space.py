"""What the doctor says about the free space on disks."""

from pathlib import Path

import pytest

from scheduler.doctor.disk_space import SAMPLE_SCANS, Room, of_a_destination, of_the_scratch_folder
from scheduler.doctor.finding import State

MUCH = Room(500_000_000_000, 1_000_000)
MEGABYTE = 1_000_000


@pytest.mark.parametrize("short", [Room(MEGABYTE, None), Room(MUCH.bytes, 12)], ids=["bytes", "files"])
def test_a_disk_that_is_nearly_full_is_wrong_and_it_says_what_to_do(short: Room) -> None:
    for found in (of_a_destination("/colour", short, []), of_the_scratch_folder(Path("/scratch"), short, 0)):
        assert found.state == State.WRONG
        assert str(short) in found.sentence
        assert "room" in found.remedy


def test_a_small_collection_s_outputs_must_fit_as_a_whole() -> None:
    fits = of_a_destination("/colour", MUCH, [50 * MEGABYTE] * 900)
    assert (fits.state, "900 scans may take 135.0 GB" in fits.sentence) == (State.FINE, True)
    assert of_a_destination("/colour", MUCH, [500 * MEGABYTE] * 900).state == State.NOTE


def test_of_a_large_collection_it_says_for_how_many_there_is_room() -> None:
    found = of_a_destination("/colour", MUCH, [50 * MEGABYTE] * SAMPLE_SCANS)
    assert (found.state, "some 3,333 outputs" in found.sentence) == (State.FINE, True)


def test_a_scratch_folder_in_memory_or_smaller_than_what_is_in_hand_is_noted() -> None:
    in_memory = Room(MUCH.bytes, None, in_memory=True)
    assert of_the_scratch_folder(Path("/tmp"), in_memory, 0).state == State.NOTE
    assert of_the_scratch_folder(Path("/scratch"), MUCH, 2 * MUCH.bytes).state == State.NOTE
    assert of_the_scratch_folder(Path("/scratch"), MUCH, MUCH.bytes // 2).state == State.FINE


def test_a_folder_s_room_is_its_file_system_s(tmp_path: Path) -> None:
    assert Room.of(tmp_path).bytes > 0


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="this machine has no /dev/shm")
def test_a_folder_in_memory_is_recognized() -> None:
    assert Room.of(Path("/dev/shm")).in_memory
