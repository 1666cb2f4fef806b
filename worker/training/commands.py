"""What `python -m worker.training` does, command by command."""

import csv
import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from worker.model import compact, inception_resnet_v2
from worker.model.checkpoint import bundled_checkpoint_path
from worker.model.colorizer import Colorizer
from worker.model.network import build_network
from worker.training import distill as distilling
from worker.training import evaluate as measuring
from worker.training import train as training
from worker.training.augment import Zoom
from worker.training.classifiers import load_logits
from worker.training.contact import contact_sheet
from worker.training.curves import loss_curves
from worker.training.dataset import PhotoCache, build_cache
from worker.training.errors import TrainingError
from worker.training.export import TrainedEmbedding, add_figures
from worker.training.export import export as export_checkpoint
from worker.training.finish import base_embeddings, write_checkpoint, write_sheet
from worker.training.loop import Schedule
from worker.training.own_logits import own_logits
from worker.training.refit import refit_last_layer

REFITTED_FILE = "refitted.weights.h5"  # what `distill` leaves for `export`; state.weights.h5 is for --resume


def train(given: Namespace) -> None:
    """Trains the fusion network; state, settings, loss curves, contact sheet and a checkpoint go into `--output`."""
    cache = _cache(given)
    settings = training.Settings(
        side_px=given.side_px, batch_size=given.batch_size, zoom=Zoom(*given.zoom_px), head=given.head,
        seed=given.seed, mixed_precision=given.precision, schedule=_schedule(given),
        weights=_folder_weights(given.weight, cache),
    )  # fmt: skip
    licences = _licences(given.licence, cache)
    embeddings = base_embeddings(given.embedding, given.checkpoint or bundled_checkpoint_path())
    known = {path: load_logits(path, cache.names) for path in given.logits}
    sources = [known[path] for path in given.logits]  # one that is named twice is met twice as often
    if not sources:
        folder = given.cache or given.output / "photos"
        sources = [own_logits(cache, embedding, folder, print) for embedding in embeddings]
    unmet = [load_logits(path, cache.names) for path in given.unmet_logits]
    _write_settings(given.output, cache, asdict(settings))
    model, history = training.train(cache, sources, settings, given.output, given.start_from, given.resume, unmet)
    loss_curves(given.output / "curves.png", history)
    card = write_checkpoint(given.output / "checkpoint", model, embeddings, given.output, licences)
    write_sheet(given.output / "contact.png", given.output / "checkpoint", cache)
    print(f"checkpoint {card.id} written to {given.output / 'checkpoint'}; look at {given.output / 'contact.png'}")


def _licences(given: list[str], cache: PhotoCache) -> dict[str, str]:
    """`FOLDER=LICENCE` as a mapping; raises TrainingError for a folder that no photo is from."""
    pairs = dict(pair.partition("=")[::2] for pair in given)
    if odd := sorted(pairs.keys() - cache.by_folder().keys()):
        raise TrainingError(
            f"--licence names {', '.join(odd)}; expected FOLDER=LICENCE with one of the folders "
            f"{', '.join(sorted(cache.by_folder()))}"
        )
    return pairs


def _folder_weights(given: list[str], cache: PhotoCache) -> dict[str, int]:
    """`FOLDER=TIMES` as a mapping; raises TrainingError for another form or a folder that no photo is from."""
    known = cache.by_folder()
    weights = {}
    for pair in given:
        folder, _, times = pair.partition("=")
        if folder not in known or not times.isdigit() or not int(times):
            raise TrainingError(
                f"--weight {pair!r} was given; expected FOLDER=TIMES, a whole number from 1 on and one of the folders "
                f"{', '.join(sorted(known))}"
            )
        weights[folder] = int(times)
    return weights


def distill(given: Namespace) -> None:
    """Trains the embedding; the state, the settings and the loss curves go into `--output`."""
    cache = _cache(given)
    settings = distilling.Settings(
        architecture=given.architecture, side_px=given.side_px, batch_size=given.batch_size, seed=given.seed,
        mixed_precision=given.precision, schedule=_schedule(given),
    )  # fmt: skip
    teacher = load_logits(given.logits, cache.names)
    _write_settings(given.output, cache, asdict(settings))
    model, history = distilling.distill(cache, teacher, settings, given.output, given.start_from, given.resume)
    loss_curves(given.output / "curves.png", history)
    print(refit_last_layer(model, cache, teacher, settings.side_px), flush=True)
    model.save_weights(given.output / REFITTED_FILE)


def export(given: Namespace) -> None:
    """Writes a checkpoint folder; each embedding is described in the JSON of `--about` under its name."""
    about: dict[str, Any] = json.loads(given.about.read_text(encoding="utf-8"))
    network = build_network(given.heads, size=None)
    network.load_weights(given.fusion)
    embeddings = {
        name: _trained(name, weights, about["embeddings"][name])
        for name, weights in (("bundled", given.embedding), ("compact", given.compact))
        if weights is not None
    }
    card = export_checkpoint(
        given.checkpoint, given.name, network, embeddings, about["training"], tuple(about["limits"]),
        given.head, given.best, given.annealing_temperature,
    )  # fmt: skip
    print(f"checkpoint {card.id} written to {given.checkpoint}")


def _trained(name: str, weights: Path, about: dict[str, Any]) -> TrainedEmbedding:
    architecture = "compact" if name == "compact" else "inception_resnet_v2"
    classifier = distilling.BUILDERS[architecture](about["input_px"])
    classifier.load_weights(weights)
    folded = compact.fold(classifier) if architecture == "compact" else inception_resnet_v2.fold(classifier)
    return TrainedEmbedding(folded, {"architecture": architecture, **about})


def evaluate(given: Namespace) -> None:
    """Measures a checkpoint with its own embedding, with stand-ins, with zeros and with other photos' embeddings."""
    folder = given.checkpoint or bundled_checkpoint_path()
    colorizer = Colorizer.load(folder, given.batch_size, given.embedding, given.head)
    photos = measuring.load_photos(given.folder, given.limit)
    sources = {
        "own": "own",
        **{path.stem: str(path) for path in given.embedding_npz},
        "others": "others",
        "zeros": "zeros",
    }
    known = measuring.baselines(photos, colorizer.card.training_mean_ab)
    figures, results = {}, {}
    for name, source in sources.items():
        embeddings = measuring.embeddings_for(source, photos, colorizer)
        figures[name], results[name] = measuring.evaluate(photos, colorizer, embeddings, known)
    _print_table(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        _write_csv(given.json.with_suffix(".csv"), photos.names, figures)
    if given.sheet:
        shown = np.linspace(0, len(photos.names) - 1, min(given.sheet_photos, len(photos.names))).astype(int)
        columns = [results[name][shown] for name in ("own", *(path.stem for path in given.embedding_npz))]
        contact_sheet(given.sheet, photos.lightness[shown], [*columns, photos.ab[shown]])
    if given.into_card:
        add_figures(folder, card_figures(figures))


def card_figures(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What of `evaluate`'s figures goes into a card: no single photo's."""
    first = next(iter(figures.values()))
    models = {f"embedding {name}": values["model"] for name, values in figures.items()}
    return {"photos": first["photos"], "grey baseline": first["grey"], "tint baseline": first["tint"], **models}


def _print_table(figures: dict[str, dict[str, Any]]) -> None:
    columns = {f"embedding: {name}": values["model"] for name, values in figures.items()}
    first = next(iter(figures.values()))
    print(measuring.table({**columns, "grey baseline": first["grey"], "tint baseline": first["tint"]}))


def _write_csv(path: Path, names: list[str], figures: dict[str, dict[str, Any]]) -> None:
    """One row for each photo and embedding."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "embedding", *measuring.COLUMNS, "psnr_grey", "psnr_tint"])
        for source, values in figures.items():
            scores = values["per_photo"]
            for row, name in enumerate(names):
                own = [scores["model"][column][row] for column in measuring.COLUMNS]
                writer.writerow([name, source, *own, scores["grey"]["psnr"][row], scores["tint"]["psnr"][row]])


def _cache(given: Namespace) -> PhotoCache:
    cache = build_cache(given.sources, given.cache or given.output / "photos")
    print(f"{len(cache.names)} photos ({len(cache.validation)} kept for choosing); counts: {cache.census}", flush=True)
    return cache


def _schedule(given: Namespace) -> Schedule:
    if not given.steps and not given.minutes:
        raise TrainingError("neither --steps nor --minutes was given; training needs an end: give one")
    return Schedule(
        given.steps,
        given.minutes,
        given.learning_rate,
        given.final_share,
        validate_every_minutes=given.validate_every_minutes,
    )


def _write_settings(output: Path, cache: PhotoCache, settings: dict[str, Any]) -> None:
    """What a card needs to know of a run, beside its history."""
    output.mkdir(parents=True, exist_ok=True)
    known = {"photos": cache.by_folder(), "left_out": cache.census, "settings": settings}
    (output / "settings.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
