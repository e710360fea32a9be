"""Gathers what a run holds and what its settings mean for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts import is_complete, join
from pipeline.config import PipelineConfig, load_config
from pipeline.errors import EarlierReleaseError
from pipeline.explain.channels import Channel, count_active, explain_channels
from pipeline.explain.costs import Costs, estimate_costs
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.steps import RunInfo, StepState, explain_steps, steps
from pipeline.steps.columns import load_declared
from pipeline.steps.data import load_items, load_own_vectors, load_records
from pipeline.steps.trained import Training, load_training
from pipeline.train import training_queries


@dataclass(frozen=True)
class DataFacts:
    """What `clean/` holds; exposures don't count as interactions."""

    users: int
    datasets: int
    interactions: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class QueryCounts:
    """How many queries each part of the training has, and how many it may have."""

    about_last_datasets: int
    late: int
    most: int


@dataclass(frozen=True)
class WeightChoice:
    """The weight of a history in force, and nDCG@10 of each value that was tried; empty if none was."""

    chosen: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Explanation:
    """A run; what depends on a step that hasn't run is None or empty.

    `columns` are the names of the declared columns of `datasets` and `users`. `order` is that of `model/order.json`,
    `feedback` that of `model/feedback.json`. `data_error` says why the data of an earlier release is left out.
    """

    run_id: str
    kind: str
    as_of: datetime
    publish: bool
    steps: Sequence[StepState]
    config: Mapping[str, Any]
    data: DataFacts | None = None
    channels: Sequence[Channel] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queries: QueryCounts | None = None
    costs: Costs | None = None
    history: Mapping[str, WeightChoice] | None = None
    order: Mapping[str, Any] | None = None
    feedback: Mapping[str, Any] | None = None
    data_error: str | None = None

    def document(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        document: dict[str, Any] = _DOCUMENT.dump_python(self, mode="json")
        return document


_DOCUMENT = TypeAdapter(Explanation)


def explain_run(settings: Settings, run: str, info: RunInfo) -> Explanation:
    """Explain a run: one that has trained by the shape of that training, another by the current one."""
    training = load_training(run) if is_complete(join(run, "model")) else None
    config = load_config(settings) if training is None else training.config
    found = Explanation(
        info.run_id,
        info.kind,
        info.as_of,
        info.publish,
        explain_steps(settings, run, steps(publish=info.publish, kind=info.kind)),
        config.model_dump(mode="json"),
    )
    # A run that a data check has stopped has `clean/` without tables, and no `features/`.
    if info.kind == "training" and all(is_complete(join(run, name)) for name in ("clean", "features")):
        try:
            found = _with_data(found, settings, run, config)
        except EarlierReleaseError as error:
            found = replace(found, data_error=str(error))
    return found if training is None else _with_training(found, training)


def _with_data(found: Explanation, settings: Settings, run: str, config: PipelineConfig) -> Explanation:
    records = load_records(run)
    active = count_active(records, settings.seed)
    training = config.train_settings(threads=settings.training_threads, seed=settings.seed)
    declared = load_declared(run)
    last, late = (len(past.rows) for past in training_queries(records, training))
    return replace(
        found,
        data=_facts(records),
        channels=list(
            explain_channels(
                records, load_items(run).table, config.recall_settings(), active, own=load_own_vectors(run)
            )
        ),
        columns={half: [column.name for column in getattr(declared, half)] for half in ("datasets", "users")},
        queries=QueryCounts(last, late, training.queries),
        costs=estimate_costs(last + late, active, training),
    )


def _with_training(found: Explanation, training: Training) -> Explanation:
    history = {
        name: WeightChoice(
            getattr(training.recall, name),
            {f"{value:g}": score for value, score in training.history_scores.get(name, {}).items()},
        )
        for name in ("history_half_life_days", "recent_ranks")
    }
    return replace(found, history=history, order=training.order, feedback=training.feedback)


def _facts(records: Records) -> DataFacts:
    moments = (records.start, records.last) if len(records) else ()
    first, last = [datetime.fromtimestamp(each, UTC) for each in moments] or (None, None)
    return DataFacts(len(records.user_ids), len(records.catalogue), len(records), first, last)
