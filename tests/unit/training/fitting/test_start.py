import numpy as np

from worker.model.network import AB_SCALE, TRAINING_MEAN_AB, build_network
from worker.training.data.photo_cache import PhotoCache
from worker.training.fitting.fusion import FusionBatches, FusionConfig
from worker.training.fitting.initial_weights import mean_colours, start_at_least_squares


def test_training_starts_at_what_least_squares_knows(cache: PhotoCache) -> None:
    """Given photos whose class tells their hue, the network tells the hues apart before its first step."""
    logits = np.zeros((len(cache.names), 1000), np.float16)
    blue = np.array([int(str(name)[5:7]) % 2 for name in cache.names], bool)
    logits[blue, 5] = logits[~blue, 9] = 12
    model = build_network("paper", size=64)
    start_at_least_squares(model, cache, [logits])

    (inputs, _) = FusionBatches(cache, [logits], FusionConfig(side_px=64, batch_size=1))(0)
    colours = []
    for row in (int(np.flatnonzero(blue)[0]), int(np.flatnonzero(~blue)[0])):
        embedding = np.sqrt(np.exp(logits[row : row + 1].astype(np.float32) - 12))
        ab = np.asarray(model([np.asarray(inputs[0]), embedding], training=False)) * AB_SCALE
        colours.append(ab.mean((0, 1, 2)))
    wanted = mean_colours(cache, cache.training)
    assert colours[0][1] < TRAINING_MEAN_AB[1] < colours[1][1]
    assert colours[1][1] - colours[0][1] > 0.2 * np.ptp(wanted[:, 1])
