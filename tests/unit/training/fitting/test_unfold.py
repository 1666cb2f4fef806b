import keras
import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model.network import build_network
from worker.model.norm_folding import fold_network
from worker.training.fitting.norm_restoring import start_at_weights


def random_inputs(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    embedding = np.sqrt(rng.dirichlet(np.full(1000, 0.01), size=3)).astype(np.float32)
    return [rng.uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32), embedding]


def trained(heads: str) -> keras.Model:
    """A network whose norms have statistics of their own, as after training."""
    keras.utils.set_random_seed(3)
    model = build_network(heads, size=None)
    for number in range(5):
        model(random_inputs(number), training=True)
    return model


@pytest.mark.parametrize("head", ["paper", "vivid"])
def test_an_unfolded_network_answers_as_the_one_that_was_folded(head: str) -> None:
    before, after = trained(head), build_network(head, size=None)
    start_at_weights(after, head, fold_network(before), random_inputs, batches=2)
    given = random_inputs(9)
    np.testing.assert_allclose(after(given, training=False), before(given, training=False), atol=2e-4)


def test_its_norms_hold_the_statistics_of_what_it_was_shown() -> None:
    """So that the first step of training begins at the checkpoint's answers too."""
    before, after = trained("paper"), build_network("paper", size=None)
    start_at_weights(after, "paper", fold_network(before), random_inputs, batches=1)
    shown = random_inputs(0)
    np.testing.assert_allclose(after(shown, training=True), before(shown, training=False), atol=2e-3)


def test_one_head_of_two_can_be_trained_on() -> None:
    before, after = trained("both"), build_network("vivid", size=None)
    start_at_weights(after, "vivid", fold_network(before), random_inputs, batches=2)
    given = random_inputs(9)
    np.testing.assert_allclose(after(given, training=False), before(given, training=False)[1], atol=2e-4)


def test_weights_of_another_network_are_refused() -> None:
    weights = fold_network(trained("paper"))
    with pytest.raises(CheckpointError, match="do not fit the network at head_vivid"):
        start_at_weights(build_network("vivid", size=None), "vivid", weights, random_inputs)
