"""Steps that make the model: recall, train, evaluate, precompute, bundle."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.arrays import load_array, load_neighbours, save_arrays, save_neighbours
from pipeline.artifacts import join, reading, writing
from pipeline.bundle import build_bundle
from pipeline.config import PipelineConfig, load_config
from pipeline.errors import PipelineError
from pipeline.evaluate import (
    LEAVE_LAST_OUT,
    MISSING,
    ROLLING,
    Evaluation,
    NoQueriesError,
    PartSettings,
    write_evaluation_part,
)
from pipeline.evaluate import evaluate as evaluate_stack
from pipeline.feedback.training import gather_feedback
from pipeline.precompute import precompute as precompute_lists
from pipeline.recall import build_tables, content_neighbours, own_neighbours
from pipeline.report import SIMPLE_ORDER
from pipeline.sentry_utils import monitor_pipeline_step, track_model_training_issue, track_model_training_ok
from pipeline.settings import Settings
from pipeline.steps.columns import load_declared
from pipeline.steps.data import load_checks, load_items, load_own_vectors, load_records, version_of
from pipeline.steps.feedback import load_exposures
from pipeline.steps.run_info import load_run_info
from pipeline.steps.trained import RANKER_FILE, Training, load_training, write_training
from pipeline.train import (
    TrainingError,
    TrainingPart,
    TrainSettings,
    train_on,
    training_queries,
    training_tables,
    with_chosen_weights,
)
from pipeline.train.order import RANKER
from ranking.bundle import BundleContents
from ranking.diversity import DiversitySettings
from ranking.engine import Engine
from ranking.ranker import Ranker
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Knowledge

_log = logging.getLogger(__name__)
# In the manifest of a model that was trained with own vectors: how many numbers each has.
OWN_VECTORS = "dataset_vector_length"
_TABLES = ("behavior", "content", "vector", "transition")
# The tables of each part of the training queries.
_OF_TRAINING = ("recall_heldout", "recall_earlier")


@monitor_pipeline_step("recall")
def recall(settings: Settings, run: str) -> str:
    """`clean/`, `features/` → `recall/` from everything, and tables without the ranker's targets.

    `recall_heldout/` is without the targets alone, `recall_earlier/` of the time before them.
    """
    records, items = load_records(run), load_items(run)
    content = content_neighbours(items.table.content)
    own = load_own_vectors(run)
    vector = None if own is None else own_neighbours(own)
    write_tables(run, "recall", build_tables(records, content, settings.seed, vector))
    training = _training(settings, run, load_config(settings))
    for name, past in zip(_OF_TRAINING, training_queries(records, training), strict=True):
        write_tables(run, name, training_tables(records, past, content, settings.seed, vector))
    _log.info("recall tables of %s datasets", f"{len(records.catalogue):,}")
    return run


@monitor_pipeline_step("train")
def train(settings: Settings, run: str) -> str:
    """`clean/`, `features/`, `feedback/`, `recall_heldout/`, `recall_earlier/` → `model/`."""
    records, items = load_records(run), load_items(run)
    config = load_config(settings)
    training, recall_settings = _training(settings, run, config), config.recall_settings()
    parts = [
        TrainingPart(past, Knowledge(_load_tables(run, name), recall_settings, items.table))
        for name, past in zip(_OF_TRAINING, training_queries(records, training), strict=True)
    ]
    parts, history_scores = with_chosen_weights(records, parts, training)
    feedback = gather_feedback(records, parts[-1], load_exposures(run), config.feedback_settings(), training)
    parts = [part._replace(past=feedback.without_measured(part.past, records)) for part in parts]
    try:
        order = train_on(records, parts, training, feedback.graded)
    except TrainingError as error:
        track_model_training_issue(settings.model_name, "training_failed", str(error))
        raise
    track_model_training_ok(settings.model_name, "training_failed")
    with writing(join(run, "model")) as folder:
        chosen = parts[0].knowledge.settings
        found = Training(
            config,
            chosen,
            history_scores,
            order.document(),
            feedback.document(Ranker(order.text, training.own_features)),
        )
        write_training(folder, order.text, found)
    _log.info("%s queries; the order is %s", f"{sum(len(part.past.rows) for part in parts):,}", order.name)
    return run


@monitor_pipeline_step("evaluate")
def evaluate(settings: Settings, run: str) -> str:
    """`clean/`, `features/` → `evaluation/`: the same training on each split, against the simple models.

    `evaluation_part/` holds queries of the split by time, and the model that they measured.
    """
    records, items = load_records(run), load_items(run)
    config = load_config(settings)
    found = evaluate_stack(
        records,
        items.table,
        config.recall_settings(),
        _diversity(settings),
        _training(settings, run, config),
        evaluation=config.evaluation_settings(),
        own_vectors=load_own_vectors(run),
    )
    trained = load_training(run)
    order = None if trained is None else trained.order
    with writing(join(run, "evaluation")) as folder:
        metrics = found.metrics() | ({} if order is None else _order_metrics(order))
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
        document = found.document() | {"order": order}
        (folder / "evaluation.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    with writing(join(run, "evaluation_part")) as folder:
        _write_part(settings, run, found, folder)
    _judge(settings.model_name, found, order)
    return run


@monitor_pipeline_step("precompute")
def precompute(settings: Settings, run: str) -> str:
    """The finished model → `precomputed/`."""
    write_precomputed(run, load_contents(run, _ranking(settings, run)), settings.training_threads)
    return run


@monitor_pipeline_step("bundle")
def bundle(settings: Settings, run: str) -> str:
    """Everything → `bundle/`."""
    write_bundle(
        settings,
        run,
        _ranking(settings, run),
        Trained(load_metrics(run), _config_of(run)),
    )
    return run


def load_metrics(run: str) -> dict[str, float]:
    """Read the results of `evaluate`."""
    with reading(join(run, "evaluation")) as folder:
        metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


class Trained(NamedTuple):
    """What the manifest says of the training: its metrics, its shape, and which version a refresh keeps."""

    metrics: dict[str, float]
    config: dict[str, Any] | None
    refreshes: str | None = None


class Ranking(NamedTuple):
    """What ranks in a bundle: LightGBM's text, and the settings of recall and diversity that belong to it."""

    text: str
    recall: RecallSettings
    diversity: DiversitySettings


def write_tables(run: str, name: str, tables: RecallTables) -> None:
    """Write recall tables to the folder `name` of a run."""
    with writing(join(run, name)) as folder:
        for table in _TABLES:
            save_neighbours(folder, table, getattr(tables, table))


def write_precomputed(run: str, contents: BundleContents, threads: int) -> None:
    """Write `precomputed/`."""
    lists = precompute_lists(Engine(contents), threads)
    with writing(join(run, "precomputed")) as folder:
        save_arrays(folder, items=lists.items, scores=lists.scores)
    listed = int((lists.items[:, 0] >= 0).sum())
    _log.info("precomputed lists for %s of %s datasets", f"{listed:,}", f"{len(lists.items):,}")


def write_bundle(settings: Settings, run: str, ranking: Ranking, trained: Trained) -> None:
    """Write `bundle/`."""
    with reading(join(run, "precomputed")) as folder:
        lists = Neighbours(load_array(folder, "items"), load_array(folder, "scores"))
    with writing(join(run, "bundle")) as folder:
        manifest = build_bundle(
            replace(load_contents(run, ranking), precomputed=lists),
            load_records(run),
            folder,
            name=settings.model_name,
            run_id=version_of(run),
            git_commit=settings.git_commit,
            metrics=trained.metrics,
            data_checks=load_checks(run),
            created_at=load_run_info(run).as_of,
            seed=settings.seed,
            refreshes=trained.refreshes,
            config=trained.config,
        )
    _log.info("bundle %s of %d files", manifest.version, len(manifest.files))


def load_contents(run: str, ranking: Ranking) -> BundleContents:
    """Return the bundle's contents, still without precomputed lists and golden requests."""
    records, items = load_records(run), load_items(run)
    n = len(records.catalogue)
    return BundleContents(
        records.catalogue,
        items.rows,
        items.table,
        replace(_load_tables(run, "recall"), popular=items.popular, popular_30d=items.popular_30d),
        ranking.recall,
        ranking.text,
        Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)),
        items.trending,
        [],
        diversity=ranking.diversity,
        own=load_declared(run),
    )


def _training(settings: Settings, run: str, config: PipelineConfig) -> TrainSettings:
    training = config.train_settings(threads=settings.training_threads, seed=settings.seed)
    return replace(training, own_features=load_declared(run).names)


def _diversity(settings: Settings) -> DiversitySettings:
    return DiversitySettings(relevance=settings.diversity_relevance)


def _ranking(settings: Settings, run: str) -> Ranking:
    """Return what this run has trained."""
    with reading(join(run, "model")) as folder:
        text = (folder / RANKER_FILE).read_text(encoding="utf-8")
    return Ranking(text, _training_of(run).recall, _diversity(settings))


def _load_tables(run: str, name: str) -> RecallTables:
    with reading(join(run, name)) as folder:
        behavior, content, vector, transition = (load_neighbours(folder, table) for table in _TABLES)
        return RecallTables(behavior, content, vector, transition)


def _config_of(run: str) -> dict[str, Any]:
    """Return the shape of the training as the manifest has it: as `pipeline.yaml`, and the length of own vectors."""
    own = load_own_vectors(run)
    document = _training_of(run).config.model_dump(mode="json")
    return document if own is None else document | {OWN_VECTORS: own.shape[1]}


def _training_of(run: str) -> Training:
    found = load_training(run)
    if found is None:
        raise PipelineError(f"{join(run, 'model')}: there is no training of this release; repeat the step train")
    return found


def _order_metrics(order: dict[str, Any]) -> dict[str, float]:
    """Return what the manifest says of the order: how it was chosen, and which simple one it is, if any."""
    compared = order["comparison"]
    metrics = {
        "validation_ndcg@10_ranker": round(compared["ranker"], 5),
        "validation_ndcg@10_simple": round(compared["simple"], 5),
        "training_ndcg@10_ranker": round(compared["ranker_seen"], 5),
    }
    return metrics if order["name"] == RANKER else metrics | {f"{SIMPLE_ORDER}{order['name']}": 1.0}


def _write_part(settings: Settings, run: str, found: Evaluation, folder: Path) -> None:
    reason = found.missing.get(ROLLING, "")
    if found.holdout is not None:
        identity = PartSettings(
            found.holdout.model.recall,
            _diversity(settings),
            settings.seed,
            settings.model_name,
            version_of(run),
            load_declared(run),
        )
        try:
            write_evaluation_part(found.holdout, identity, folder)
        except NoQueriesError as error:
            reason = str(error)
        else:
            return
    (folder / MISSING).write_text(reason + "\n", encoding="utf-8")
    _log.info("no evaluation part: %s", reason)


def _judge(model: str, found: Evaluation, order: dict[str, Any] | None) -> None:
    """Report a model that could not be measured, or that is worse than a simpler one."""
    result = found.protocols.get(LEAVE_LAST_OUT)
    if result is None:
        track_model_training_issue(model, "not_evaluated", found.missing[LEAVE_LAST_OUT])
    else:
        track_model_training_ok(model, "not_evaluated")
    metrics = {} if result is None else {name: values["ndcg@10"] for name, values in result.models.items()}
    if order is not None and order["name"] != RANKER:
        details = f"the ranker is not better than a simple order: the bundle ranks by {order['name']}"
        track_model_training_issue(model, "below_baseline", details, metrics | _order_metrics(order))
    elif result is not None and found.is_below_baseline:
        details = f"nDCG@10 is significantly below that of {result.best_baseline}"
        track_model_training_issue(model, "below_baseline", details, metrics)
    elif result is not None:
        track_model_training_ok(model, "below_baseline")
