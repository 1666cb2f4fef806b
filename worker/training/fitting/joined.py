"""Trains fusion, decoder, heads and map together, beginning with a checkpoint's network and a trained map.

The network is trained in its folded form, so no norms have to be measured again, and its first outputs are a mixture of
both. The encoder is not trained, because on a CPU it would take nine tenths of the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.model.backends.precision import computing_in
from worker.model.network import AB_SCALE, build_network
from worker.model.norm_folding import assign
from worker.training.fitting.averaged_loop import LoopConfig, decaying_adam, fit
from worker.training.fitting.losses import colour_loss, soft_cross_entropy
from worker.training.views.joined_batches import JoinedBatches

Floats = NDArray[np.float32]

FROZEN = ("encoder_", "fusion_encoder", "fusion_embedding")
BINS_PX = 8  # the vivid head has one place for 4x4 px; every second one is used


@dataclass(frozen=True)
class JoinConfig:
    """How the two are mixed at first, and how they are trained."""

    decoder_share: float = 0.3  # share of the checkpoint's colours in the first outputs; the map gives the rest
    dropout: float = 0.1
    weight_decay: float = 0.01
    bins_share: float = 0.02
    seed: int = 1


def joined_weights(
    checkpoint: Mapping[str, Floats], map_network: Mapping[str, Floats], decoder_share: float, un_balance: Floats
) -> dict[str, Floats]:
    """The folded weights of a network without a map, and of a map -> those of a network with a map that mixes both.

    a, b: `decoder_share` of the checkpoint's; the rest is the map's, half of it from its bins. Logits: `decoder_share`
    of the checkpoint's, added to the map's. `un_balance` (313,) is added to the checkpoint's logits, to take back its
    extra weight for rare bins.
    """
    shares = {"head_paper": decoder_share, "head_vivid": decoder_share, "map_ab": (1 - decoder_share) / 2}
    weights = {**checkpoint, **map_network}
    weights["head_vivid.bias"] = weights["head_vivid.bias"] + un_balance
    weights["map_expected.kernel"] = np.eye(2, dtype=np.float32)[None, None] * np.float32((1 - decoder_share) / 2)
    weights["map_expected.bias"] = np.zeros(2, np.float32)
    for name, share in shares.items():
        for part in ("kernel", "bias"):
            weights[f"{name}.{part}"] = np.asarray(weights[f"{name}.{part}"] * np.float32(share))
    channels = weights["map_last.kernel"].shape[-1]
    weights["fusion_map.kernel"] = np.zeros((1, 1, channels, weights["fusion_encoder.kernel"].shape[-1]), np.float32)
    return weights


def map_before_mixing(mixed: Mapping[str, Floats], decoder_share: float) -> dict[str, Floats]:
    """The map's own weights from those that `joined_weights` mixed with this `decoder_share`: its inverse."""
    weights = {name: value for name, value in mixed.items() if name.startswith("map_") and "expected" not in name}
    for part in ("kernel", "bias"):
        weights[f"map_ab.{part}"] = np.asarray(weights[f"map_ab.{part}"] / ((1 - decoder_share) / 2), np.float32)
    return weights


def paper_loss(truth: Any, result: Any) -> Any:
    """`colour_loss` of a*, b* (batch, side, side, 2) and the paper head's a, b / 128."""
    return colour_loss(truth, result * AB_SCALE)


def vivid_loss(truth: Any, logits: Any) -> Any:
    """Cross-entropy of the bins with the mean colour of each 8x8 px, asked at one of four places."""
    places = ops.average_pool(ops.cast(truth, "float32"), BINS_PX, strides=BINS_PX)
    return soft_cross_entropy(places, logits[:, ::2, ::2])


def build_joined(config: JoinConfig, weights: Mapping[str, Floats]) -> keras.Model:
    """The network to train, with these folded weights."""
    with computing_in("mixed_bfloat16"):
        model = build_network("both", None, batch_norm=False, features="lite2", dropout=config.dropout)
    assign(model, dict(weights))
    for layer in model.layers:
        if layer.name.startswith(FROZEN):
            layer.trainable = False
    return model


def train_joined(
    model: keras.Model, batches: JoinedBatches, config: JoinConfig, loop: LoopConfig, folder: Path,
    validate: Callable[[keras.Model], dict[str, float]], resume: bool = False,
) -> None:  # fmt: skip
    """Trains the layers that are not frozen. State, averaged weights and history are written to `folder`."""
    keras.utils.set_random_seed(config.seed)
    model.compile(
        decaying_adam(config.weight_decay, loop.averaged_steps), loss=[paper_loss, vivid_loss],
        loss_weights=[1.0, config.bins_share], jit_compile=False,
    )  # fmt: skip
    fit(model, batches, loop, folder, lambda: validate(model), resume)
