"""Loss curves as a picture."""

from pathlib import Path


def loss_curves(path: Path, history: list[dict[str, float]]) -> None:
    """Writes a PNG: the training loss and each validation figure over the steps."""
    from matplotlib.figure import Figure  # takes half a second, and most commands draw nothing

    figure = Figure(figsize=(8, 5))
    left = figure.subplots()
    right = left.twinx()
    steps = [entry["step"] for entry in history]
    left.plot(steps, [entry["loss"] for entry in history], color="black", label="training loss")
    for name in sorted(set(history[-1]) - {"step", "minutes", "loss"}):
        right.plot(steps, [entry[name] for entry in history], label=f"validation {name}")
    left.set_xlabel("step")
    left.set_ylabel("training loss")
    right.legend(loc="center right")
    figure.savefig(path, dpi=100)
