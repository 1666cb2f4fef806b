"""`photochrom train`, `cross-fit` and `evaluate`, which load TensorFlow: this process becomes `worker.training`."""

import os
import sys

import typer

# Every argument, and --help, is passed on to `worker.training`.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer()


@app.command(context_settings=PASS_ON)
def train(context: typer.Context) -> None:
    """Train a checkpoint on colour photos."""
    _become("train", context.args)


@app.command(context_settings=PASS_ON)
def cross_fit(context: typer.Context) -> None:
    """Predict each photo's colours by a model fitted on the other photos."""
    _become("cross-fit", context.args)


@app.command(context_settings=PASS_ON, hidden=True)
def expect(context: typer.Context) -> None:
    """The earlier name of cross-fit."""
    print("photochrom expect is now called photochrom cross-fit; please use the new name", file=sys.stderr)
    _become("cross-fit", context.args)


@app.command(context_settings=PASS_ON)
def evaluate(context: typer.Context) -> None:
    """Measure a checkpoint on colour photos, beside two baselines."""
    _become("evaluate", context.args)


def _become(command: str, arguments: list[str]) -> None:
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker.training", command, *arguments])
