"""The file of PIPELINE_CONFIG: defaults, a user's changes, errors that name line and key, and that each key acts."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.features import CHANNELS, FEATURES, TRAINED_FEATURES
from pipeline.config import PipelineConfig, load_config
from pipeline.errors import InputError
from pipeline.evaluate import LEAVE_LAST_OUT, ROLLING, STACK, Evaluation, EvaluationSettings, evaluate
from pipeline.features.items import item_state
from pipeline.feedback.examples import FeedbackSettings
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.train import TrainingPart, TrainSettings, train_on, training_queries, with_chosen_weights
from pipeline.train.order import RANKER, Order
from ranking.diversity import DiversitySettings
from ranking.own_columns import NO_COLUMNS
from ranking.ranker import Ranker
from ranking.recall import RecallSettings
from ranking.replay import Kind, Knowledge

SHIPPED = Path(__file__).parents[1] / "pipeline.yaml"
SMALL = TrainSettings(queries=400, trees=10, leaves=15)
NAMES = [feature.name for feature in TRAINED_FEATURES]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path: Path | None, **settings: Any) -> PipelineConfig:
    return load_config(Settings(pipeline_config=path, **settings))


def acting(config: PipelineConfig) -> tuple[Any, ...]:
    """All that a configuration does."""
    training = config.train_settings(threads=1, seed=42)
    columns = config.columns.declared()
    return (
        config.recall_settings(),
        training,
        config.evaluation_settings(),
        columns,
        config.feedback_settings(),
        config.search,
    )


def test_without_a_file_everything_is_as_the_code_says() -> None:
    assert acting(loaded(None))[:5] == (
        RecallSettings(),
        TrainSettings(),
        EvaluationSettings(),
        NO_COLUMNS,
        FeedbackSettings(),
    )


def test_the_file_in_the_folder_airflow_lists_the_defaults() -> None:
    assert loaded(SHIPPED) == PipelineConfig()


def test_a_users_file_changes_only_what_it_names(tmp_path: Path) -> None:
    config = loaded(written(tmp_path, "recall: {channels: {vector: 0}}\nranker: {trees: 50}\n"))
    assert config.recall.channels == PipelineConfig().recall.channels | {"vector": 0}
    assert config.ranker.trees == 50
    assert config.model_copy(update={"recall": PipelineConfig().recall, "ranker": PipelineConfig().ranker}) == (
        PipelineConfig()
    )


def leaves_of(value: object, location: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, held in value.items():
            yield from leaves_of(held, (*location, key))
    else:
        yield location


def other_than(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [NAMES[0]] if not value else value[:-1]
    return value / 2 if isinstance(value, float) else value - 1


@pytest.mark.parametrize(
    "location", [each for each in leaves_of(PipelineConfig().model_dump()) if "kinds" not in each], ids=".".join
)
def test_every_key_reaches_the_code(location: tuple[str, ...]) -> None:
    document = PipelineConfig().model_dump()
    place: Any = document
    for name in location[:-1]:
        place = place[name]
    column = {"name": "a", "sql": "1", "type": "number"}
    place[location[-1]] = [column] if location[0] == "columns" else other_than(place[location[-1]])
    assert acting(PipelineConfig.model_validate(document)) != acting(PipelineConfig())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("recall:\n  chanels: {vector: 0}\n", 2, "recall.chanels: Extra inputs are not permitted; there are channels,"),
        ("serving: {}\n", 1, "serving: Extra inputs are not permitted; there are recall, history, queries"),
        ("recall:\n  channels:\n    als: 40\n", 3, f"recall.channels.als: there is no als; there are {CHANNELS[0]},"),
        ("recall:\n  channels:\n    vector: -1\n", 3, "recall.channels.vector: Input should be greater than or equal"),
        ("recall:\n  channels:\n    vector: yes\n", 3, "recall.channels.vector: Input should be a valid integer"),
        (
            "features:\n  leave_out:\n    - item_price\n    - price\n",
            4,
            "features.leave_out.1: there is no price; there",
        ),
        ("features:\n  leave_out: [item_price, item_price]\n", 2, "features.leave_out: a name stands here twice"),
        ("\nranker:\n  leaves: 65\n", 3, "ranker.leaves: Input should be less than or equal to 64"),
        ("ranker:\n  trees: '50'\n", 2, "ranker.trees: Input should be a valid integer"),
        ("history:\n  half_lives_days: []\n", 2, "history.half_lives_days: List should have at least 1"),
        ("history:\n  recent_ranks: [2, 0]\n", 2, "history.recent_ranks.1: Input should be greater than 0"),
        ("queries:\n  kinds:\n    user: 0.5\n", 2, "queries.kinds: user, detail and similar add up to 0.7, not to 1"),
        ("recall:\n  channels: {popular: 0, popular_30d: 0}\n", 1, "recall: popular and popular_30d are both off"),
        (
            "search:\n  parameters:\n    - {key: gate.simple_orders, choices: [true, false]}\n",
            3,
            "search.parameters.0: there is no gate.simple_orders to search; there are recall.channels.behavior,",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, low: 7, high: 65}\n",
            3,
            "search.parameters.0: ranker.leaves: 65: Input should be less than or equal to 64",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, low: 2.5, high: 9}\n",
            3,
            "search.parameters.0: ranker.leaves: 2.5: Input should be a valid integer",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, low: 9, high: 9}\n",
            3,
            "search.parameters.0: ranker.leaves: low is not below high",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, low: 9}\n",
            3,
            "search.parameters.0: ranker.leaves: write low and high, or choices",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, low: 9, choices: [3, 4]}\n",
            3,
            "search.parameters.0: ranker.leaves: low, high and log don't go with choices",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.leaves, least: 9}\n",
            3,
            "search.parameters.0.least: Extra inputs are not permitted",
        ),
        (
            "search:\n  parameters:\n    - {key: ranker.learning_rate, low: .nan, high: 0.5}\n",
            3,
            "search.parameters.0.low: not a finite number",
        ),
        (
            "search:\n  parameters:\n    - {key: features.leave_out, low: 0, high: 1}\n",
            3,
            "search.parameters.0: features.leave_out is not a number: write choices",
        ),
        (
            "search:\n  parameters:\n    - {key: features.leave_out, choices: [[], [price]]}\n",
            3,
            "search.parameters.0: features.leave_out: ['price']: there is no price; there",
        ),
        (
            "search: {parameters: [{key: queries.late, low: 0, high: 1}, {key: queries.late, low: 0, high: 0.5}]}\n",
            1,
            "search.parameters: a name stands here twice",
        ),
        ("evaluation:\n  baselines: 1\n", 2, "evaluation.baselines: Input should be a valid boolean"),
        ("recall: &a\n  channels: *a\n", 2, "an alias: write the value out"),
        ("ranker:\n  trees: " + "[" * 2000, 2, "more than 20 levels"),
    ],
)
def test_an_error_names_the_line_the_key_and_what_is_allowed(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        loaded(path)
    assert str(caught.value).startswith(f"PIPELINE_CONFIG: {path}:{line}: {words}")


def test_the_earlier_setting_of_the_queries_still_works_and_says_what_replaces_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert loaded(None, training_queries=500).queries.most == 500
    assert "write queries.most into PIPELINE_CONFIG" in caplog.text


def test_the_earlier_setting_beside_its_replacement_is_an_error(tmp_path: Path) -> None:
    assert loaded(written(tmp_path, "queries: {late: 0.5}\n"), training_queries=500).queries.most == 500
    with pytest.raises(InputError, match=r"TRAINING_QUERIES: remove it: .* has queries\.most"):
        loaded(written(tmp_path, "queries: {most: 600}\n"), training_queries=500)


@pytest.fixture(scope="module")
def knowledge(records: Records) -> Knowledge:
    items = item_state(records, 42).table
    return Knowledge(build_tables(records, content_neighbours(items.content), 42), RecallSettings(), items)


def order_of(records: Records, knowledge: Knowledge, settings: TrainSettings) -> Order:
    return train_on(records, [TrainingPart(past, knowledge) for past in training_queries(records, settings)], settings)


@pytest.mark.parametrize("left_out", [(), ("vote_history", "item_popularity_1d")])
def test_a_feature_that_is_left_out_decides_nothing(
    records: Records, knowledge: Knowledge, left_out: tuple[str, ...]
) -> None:
    order = order_of(records, knowledge, replace(SMALL, left_out_features=left_out, simple_orders=False))
    ranker = Ranker(order.text)
    matrix = np.random.default_rng(1).gamma(1.0, 1.0, (1000, len(FEATURES))).astype(np.float32)
    other = matrix.copy()
    for name in ("vote_history", "item_popularity_1d"):
        other[:, [feature.name for feature in FEATURES].index(name)] = 7.0
    assert np.array_equal(ranker.scores(matrix), ranker.scores(other)) == bool(left_out)


def test_with_simple_orders_switched_off_the_ranker_serves_even_if_it_is_worse(
    records: Records, knowledge: Knowledge
) -> None:
    worse = replace(SMALL, left_out_features=tuple(name for name in NAMES if name != "user_mean_price"))
    assert order_of(records, knowledge, worse).name != RANKER
    assert order_of(records, knowledge, replace(worse, simple_orders=False)).name == RANKER


@pytest.mark.parametrize(("late", "sizes"), [(0.0, (400, 0)), (0.25, (300, 100)), (1.0, (0, 400))])
def test_the_share_of_late_queries_is_kept_also_at_its_ends(
    records: Records, knowledge: Knowledge, late: float, sizes: tuple[int, int]
) -> None:
    settings = replace(SMALL, late_queries=late)
    assert tuple(len(past.rows) for past in training_queries(records, settings)) == sizes
    assert order_of(records, knowledge, settings).comparison.queries > 0


def test_the_kinds_of_the_queries_have_their_shares(records: Records) -> None:
    shares = {Kind.USER: 0.5, Kind.DETAIL: 0.0, Kind.SIMILAR: 0.5}
    kinds = np.concatenate([past.kinds for past in training_queries(records, replace(SMALL, kind_shares=shares))])
    assert not (kinds == Kind.DETAIL).any()
    assert abs((kinds == Kind.SIMILAR).mean() - 0.5) < 0.1


def test_a_single_weight_of_the_history_is_taken_and_several_are_compared(
    records: Records, knowledge: Knowledge
) -> None:
    settings = replace(SMALL, half_lives_days=(3.0,), recent_ranks=(1.0, 6.0))
    parts = [TrainingPart(past, knowledge) for past in training_queries(records, settings)]
    weighted, scores = with_chosen_weights(records, parts, settings)
    chosen = weighted[0].knowledge.settings
    assert chosen.history_half_life_days == 3.0
    assert list(scores) == ["recent_ranks"]
    assert chosen.recent_ranks == max(scores["recent_ranks"], key=lambda each: scores["recent_ranks"][each])


def test_a_weight_of_channels_that_are_off_is_not_tried(records: Records, knowledge: Knowledge) -> None:
    settings = RecallSettings(channel_sizes=RecallSettings().channel_sizes | {"recent": 0, "transition": 0})
    parts = [TrainingPart(past, replace(knowledge, settings=settings)) for past in training_queries(records, SMALL)]
    weighted, scores = with_chosen_weights(records, parts, SMALL)
    assert list(scores) == ["history_half_life_days"]
    assert weighted[0].knowledge.settings.recent_ranks == RecallSettings().recent_ranks


@pytest.mark.parametrize("on", [("popular",), ("popular_30d",), ("behavior", "popular")], ids=" ".join)
def test_all_other_channels_may_be_off(records: Records, knowledge: Knowledge, on: tuple[str, ...]) -> None:
    sizes = {name: 60 if name in on else 0 for name in CHANNELS}
    few = replace(knowledge, settings=RecallSettings(channel_sizes=sizes))
    assert order_of(records, few, SMALL).comparison.ranker > 0


def measured(records: Records, evaluation: EvaluationSettings) -> Evaluation:
    table = item_state(records, 42).table
    return evaluate(records, table, RecallSettings(), DiversitySettings(), SMALL, evaluation=evaluation)


def test_the_evaluation_can_be_reduced_to_the_stack_and_one_protocol(records: Records) -> None:
    found = measured(records, EvaluationSettings(global_split=False, baselines=False, queries=100))
    result = found.protocols[LEAVE_LAST_OUT]
    assert set(found.protocols) == {LEAVE_LAST_OUT}
    assert "evaluation.global_split" in found.missing[ROLLING]
    assert set(result.models) == {STACK}
    assert result.best_baseline is None
    assert result.queries == 100
    assert found.metrics()["ndcg@10"] > 0
