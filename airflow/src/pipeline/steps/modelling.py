"""Steps that make the model: recall, train, evaluate, precompute, bundle."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.arrays import load_array, load_neighbours, save_arrays, save_neighbours
from pipeline.artifacts import folders_below, join, reading, writing
from pipeline.bundle import build_bundle
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
from pipeline.precompute import precompute as precompute_lists
from pipeline.recall import build_tables, content_neighbours
from pipeline.report import SIMPLE_ORDER
from pipeline.sentry_utils import monitor_pipeline_step, track_model_training_issue, track_model_training_ok
from pipeline.settings import Settings
from pipeline.steps.data import load_checks, load_items, load_records, version_of
from pipeline.steps.run_info import load_run_info
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
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Knowledge

_log = logging.getLogger(__name__)
_TABLES = ("behavior", "content", "vector", "transition")
_ORDER, _RANKER, _RECALL = "order.json", "ranker.txt", "recall.json"
# The tables of each part of the training queries.
_OF_TRAINING = ("recall_heldout", "recall_earlier")


@monitor_pipeline_step("recall")
def recall(settings: Settings, run: str) -> str:
    """`clean/`, `features/` → `recall/` from everything, and tables without the ranker's targets.

    `recall_heldout/` is without the targets alone, `recall_earlier/` of the time before them.
    """
    records, items = load_records(run), load_items(run)
    content = content_neighbours(items.table.content)
    write_tables(run, "recall", build_tables(records, content, settings.seed))
    for name, past in zip(_OF_TRAINING, training_queries(records, _training(settings)), strict=True):
        write_tables(run, name, training_tables(records, past, content, settings.seed))
    _log.info("recall tables of %s datasets", f"{len(records.catalogue):,}")
    return run


@monitor_pipeline_step("train")
def train(settings: Settings, run: str) -> str:
    """`clean/`, `features/`, `recall_heldout/`, `recall_earlier/` → `model/`."""
    records, items = load_records(run), load_items(run)
    training = _training(settings)
    parts = [
        TrainingPart(past, Knowledge(_load_tables(run, name), RecallSettings(), items.table))
        for name, past in zip(_OF_TRAINING, training_queries(records, training), strict=True)
    ]
    parts = with_chosen_weights(records, parts, settings.seed)
    try:
        order = train_on(records, parts, training)
    except TrainingError as error:
        track_model_training_issue(settings.model_name, "training_failed", str(error))
        raise
    track_model_training_ok(settings.model_name, "training_failed")
    with writing(join(run, "model")) as folder:
        (folder / _RANKER).write_text(order.text, encoding="utf-8")
        (folder / _RECALL).write_text(parts[0].knowledge.settings.model_dump_json(indent=2), encoding="utf-8")
        (folder / _ORDER).write_text(json.dumps(order.document(), indent=2), encoding="utf-8")
    _log.info("%s queries; the order is %s", f"{sum(len(part.past.rows) for part in parts):,}", order.name)
    return run


@monitor_pipeline_step("evaluate")
def evaluate(settings: Settings, run: str) -> str:
    """`clean/`, `features/` → `evaluation/`: the same training on each split, against the simple models.

    `evaluation_part/` holds queries of the split by time, and the model that they measured.
    """
    records, items = load_records(run), load_items(run)
    found = evaluate_stack(records, items.table, RecallSettings(), _diversity(settings), _training(settings))
    order = _load_order(run)
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
    write_bundle(settings, run, _ranking(settings, run), load_metrics(run))
    return run


def load_metrics(run: str) -> dict[str, float]:
    """Read the results of `evaluate`."""
    with reading(join(run, "evaluation")) as folder:
        metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


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


def write_bundle(
    settings: Settings, run: str, ranking: Ranking, metrics: dict[str, float], refreshes: str | None = None
) -> None:
    """Write `bundle/`; `metrics` are those of the ranker, `refreshes` the version that it was trained for."""
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
            metrics=metrics,
            data_checks=load_checks(run),
            created_at=load_run_info(run).as_of,
            seed=settings.seed,
            refreshes=refreshes,
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
    )


def _training(settings: Settings) -> TrainSettings:
    return TrainSettings(queries=settings.training_queries, threads=settings.training_threads, seed=settings.seed)


def _diversity(settings: Settings) -> DiversitySettings:
    return DiversitySettings(relevance=settings.diversity_relevance)


def _ranking(settings: Settings, run: str) -> Ranking:
    """Return what this run has trained."""
    with reading(join(run, "model")) as folder:
        text = (folder / _RANKER).read_text(encoding="utf-8")
        recall = RecallSettings.model_validate_json((folder / _RECALL).read_bytes())
    return Ranking(text, recall, _diversity(settings))


def _load_tables(run: str, name: str) -> RecallTables:
    with reading(join(run, name)) as folder:
        behavior, content, vector, transition = (load_neighbours(folder, table) for table in _TABLES)
        return RecallTables(behavior, content, vector, transition)


def _load_order(run: str) -> dict[str, Any] | None:
    """Read which order `train` chose; None in a run that only evaluates."""
    if "model" not in folders_below(run):
        return None
    with reading(join(run, "model")) as folder:
        found: dict[str, Any] = json.loads((folder / _ORDER).read_text(encoding="utf-8"))
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
            found.holdout.model.recall, _diversity(settings), settings.seed, settings.model_name, version_of(run)
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
    elif result is not None and result.differences[result.best_baseline].high < 0:
        details = f"nDCG@10 is significantly below that of {result.best_baseline}"
        track_model_training_issue(model, "below_baseline", details, metrics)
    elif result is not None:
        track_model_training_ok(model, "below_baseline")
