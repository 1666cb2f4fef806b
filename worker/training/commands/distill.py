"""`python -m worker.training distill`."""

from argparse import Namespace
from dataclasses import asdict

from worker.training.commands.arguments import learning_rate_schedule, read_cache
from worker.training.data.class_logits import load_logits
from worker.training.evaluation.loss_curves import loss_curves
from worker.training.export.run_outputs import write_settings
from worker.training.fitting import distillation
from worker.training.fitting.distillation import DistillationConfig
from worker.training.fitting.last_layer import refit_last_layer

REFITTED_FILE = "refitted.weights.h5"  # what `distill` leaves for `export`; state.weights.h5 is for --resume


def distill(options: Namespace) -> None:
    """Trains the embedding; the state, the settings and the loss curves go into `--output`."""
    cache = read_cache(options, options.cache or options.output / "photos")
    config = DistillationConfig(
        architecture=options.architecture, side_px=options.side_px, batch_size=options.batch_size, seed=options.seed,
        mixed_precision=options.precision, schedule=learning_rate_schedule(options),
    )  # fmt: skip
    teacher = load_logits(options.logits, cache.names)
    write_settings(options.output, cache, asdict(config))
    model, history = distillation.distill(
        cache, teacher, config, options.output, options.start_from, options.resume, options.began
    )
    loss_curves(options.output / "curves.png", history)
    print(f"last layer: {refit_last_layer(model, cache, teacher, config.side_px)}", flush=True)
    model.save_weights(options.output / REFITTED_FILE)
