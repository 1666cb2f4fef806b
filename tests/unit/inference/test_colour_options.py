"""What a job may choose about its colours."""

import pytest

from worker.errors import UsageError
from worker.inference.colour_options import ColourOptions


def test_a_jobs_row_keeps_what_was_chosen_and_nothing_else() -> None:
    chosen = ColourOptions("vivid", "compact", 0.5)

    assert ColourOptions.of_job({"quality": 95, **chosen.as_job_options()}) == chosen
    assert ColourOptions().as_job_options() == {}
    assert ColourOptions.of_job({"format": "tiff"}) == ColourOptions()


@pytest.mark.parametrize("saturation", [-0.1, 2.1, float("nan")])
def test_a_saturation_outside_of_0_to_2_is_refused(saturation: float) -> None:
    with pytest.raises(UsageError, match=r"0\.0 to 2"):
        ColourOptions(saturation=saturation)


def test_a_head_that_no_checkpoint_has_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="'sepia'; expected one of paper, vivid"):
        ColourOptions(head="sepia")
