"""The definition of a run: its steps, what each reads and writes, and where its folders are."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.artifacts import join
from pipeline.settings import Settings
from pipeline.steps import columns, data, feedback, handover, modelling, refresh, served_model
from pipeline.steps.run_info import RunKind

SNAPSHOT = "snapshot"


class Step(NamedTuple):
    """One step: its name, and its function from the address of a run to that address.

    `inputs` and `outputs` are folders of the run; `settings` are the ones that its outputs depend on.
    """

    name: str
    run: Callable[[Settings, str], str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: tuple[str, ...] = ()


_TRAINING = ("seed", "pipeline_config", "training_queries", "training_threads")
_FEATURES = Step(
    "features",
    data.features,
    ("extract", "clean", "columns"),
    ("features", SNAPSHOT),
    ("dataset_vectors", "seed", "snapshot_incremental", "training_threads"),
)
_CLEAN = (
    Step(
        "extract",
        data.extract,
        (),
        ("extract",),
        ("business_database_url", "database_url", "extraction_sql", "timezone"),
    ),
    Step("quality", data.quality, ("extract",), ("clean",), ("database_url", "quality_rules")),
)
_DATA = (
    *_CLEAN,
    Step("columns", columns.columns, ("clean",), ("columns",), ("pipeline_config", "training_queries")),
    _FEATURES,
)
_EVALUATE = Step(
    "evaluate",
    modelling.evaluate,
    ("clean", "columns", "features"),
    ("evaluation", "evaluation_part"),
    (*_TRAINING, "diversity_relevance", "model_name"),
)
RUN = (
    *_DATA,
    Step("feedback", feedback.feedback, (), ("feedback",), ("database_url", "pipeline_config", "training_queries")),
    Step(
        "recall",
        modelling.recall,
        ("clean", "columns", "features"),
        ("recall", "recall_heldout", "recall_earlier"),
        _TRAINING,
    ),
    Step(
        "train",
        modelling.train,
        ("clean", "columns", "features", "feedback", "recall_heldout", "recall_earlier"),
        ("model",),
        (*_TRAINING, "model_name"),
    ),
    _EVALUATE._replace(inputs=(*_EVALUATE.inputs, "model")),
    Step(
        "precompute",
        modelling.precompute,
        ("clean", "columns", "features", "recall", "model"),
        ("precomputed",),
        ("diversity_relevance", "training_threads"),
    ),
    Step(
        "bundle",
        modelling.bundle,
        ("clean", "columns", "features", "recall", "model", "evaluation", "precomputed"),
        ("bundle",),
        ("diversity_relevance", "git_commit", "model_name", "seed"),
    ),
)
_REGISTRY = ("model_name", "registry_url")
_SYNC = Step("sync", handover.sync, (SNAPSHOT,), (), ("feature_sync_url",))
HANDOVER = (
    Step("publish", handover.publish, ("bundle",), ("registry",), _REGISTRY),
    Step("deploy", handover.deploy, ("registry",), (), _REGISTRY),
    _SYNC,
)
EVALUATION = (*_DATA, _EVALUATE)
REFRESH = (
    # First, so that nothing is read while no model is in service.
    Step("served_model", served_model.fetch_served_model, (), ("model",), _REGISTRY),
    *_CLEAN,
    Step("refresh_columns", refresh.columns, ("clean", "model"), ("columns",)),
    _FEATURES,
    Step(
        "refresh_recall",
        refresh.recall,
        ("clean", "columns", "features", "model"),
        ("recall",),
        ("seed", "training_threads"),
    ),
    Step(
        "refresh_precompute",
        refresh.precompute,
        ("clean", "columns", "features", "recall", "model"),
        ("precomputed",),
        ("training_threads",),
    ),
    Step(
        "refresh_bundle",
        refresh.bundle,
        ("clean", "columns", "features", "recall", "model", "precomputed"),
        ("bundle",),
        ("git_commit", "model_name", "seed"),
    ),
)
REFRESH_HANDOVER = (
    Step("refresh_publish", refresh.publish, ("bundle", "model"), ("registry",), _REGISTRY),
    Step("refresh_deploy", refresh.deploy, ("registry", "model"), (), _REGISTRY),
    _SYNC,
)
_WHOLE: dict[RunKind, tuple[tuple[Step, ...], tuple[Step, ...]]] = {
    "training": (RUN, HANDOVER),
    "refresh": (REFRESH, REFRESH_HANDOVER),
}


def steps(*, publish: bool, kind: RunKind = "training") -> tuple[Step, ...]:
    """Return the steps of a whole run; without `publish` it ends with the bundle."""
    making, handing_over = _WHOLE[kind]
    return (*making, *handing_over) if publish else making


def step_of(name: str) -> Step:
    """Return a step by its name, of any kind of run."""
    return STEPS[name]


STEPS = {step.name: step for kind in _WHOLE for step in steps(publish=True, kind=kind)}


def folder_of(run: str, output: str) -> str:
    """Return the address of an output of a run."""
    return data.snapshot_of(run) if output == SNAPSHOT else join(run, output)
