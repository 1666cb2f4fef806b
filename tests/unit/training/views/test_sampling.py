import numpy as np
import pytest

from worker.training.views.sampling import SourceSampler, capped_shares


def test_sources_are_drawn_by_the_square_root_of_their_number() -> None:
    shares = capped_shares([100] * 20 + [25] * 20)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(2 * shares[-1])


def test_no_source_is_above_eight_hundredths() -> None:
    shares = capped_shares([1_000_000, 400_000] + [100] * 30)
    assert shares.sum() == pytest.approx(1)
    assert shares.max() == pytest.approx(0.08)


def test_photos_that_are_held_out_are_never_drawn() -> None:
    sources = np.array(["a"] * 50 + ["b"] * 50 + ["held"] * 50)
    sampler = SourceSampler.of(sources, sources != "held")
    assert sampler.draw(500, np.random.default_rng(0)).max() < 100
