"""The losses of training: the error of a, b with similar weight for all photos, and the bins' cross-entropy."""

from typing import Any

from keras import ops

from worker.model.ab_bins import AB_BIN_CENTRES, SOFT_SIGMA

PALE = 100.0  # a photo's loss is divided by this + its mean a² + b², so that a few saturated photos don't dominate


def photo_weights(ab: Any) -> Any:
    """a*, b* (batch, h, w, 2), CIE units -> each photo's weight in the loss (batch,): 1 / (mean a2 + b2 + 100)."""
    return 1.0 / (ops.mean(ops.sum(ops.square(ab), axis=-1), axis=(1, 2)) + PALE)


def colour_loss(truth: Any, result: Any) -> Any:
    """Squared error of a*, b* (batch, h, w, 2), times each photo's weight; about 0.6 for a tint."""
    truth, result = ops.cast(truth, "float32"), ops.cast(result, "float32")
    errors = ops.mean(ops.sum(ops.square(truth - result), axis=-1), axis=(1, 2))
    return ops.mean(errors * photo_weights(truth))


def soft_cross_entropy(truth: Any, logits: Any) -> Any:
    """Nats a place: bin logits (batch, h, w, 313) and the soft code of a*, b* (batch, h, w, 2), not rebalanced."""
    truth = ops.cast(truth, "float32")
    centres = ops.convert_to_tensor(AB_BIN_CENTRES)
    squared = ops.sum(ops.square(centres), -1) - 2 * ops.matmul(truth, ops.transpose(centres))  # + a constant
    code = ops.softmax(-squared / (2 * SOFT_SIGMA**2), axis=-1)
    return -ops.mean(ops.sum(code * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1))
