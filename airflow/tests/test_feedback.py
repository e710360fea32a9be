"""Training learns from what answers have shown, and measures its order by those that were drawn at random."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import SecretStr
from sqlalchemy import insert

import feature_sync
from contracts.events import Exposure
from contracts.outcomes import wilson_interval
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.outcomes.tables import NOWHERE, outcome_hours, outcomes
from pipeline.extract import open_event_log
from pipeline.extract.log_tables import Period
from pipeline.features.items import item_state
from pipeline.feedback.examples import FeedbackSettings
from pipeline.feedback.log import EXPOSURES, read_exposures
from pipeline.feedback.off_policy import DrawnOutcomes, snips, snips_difference
from pipeline.feedback.online import read_online
from pipeline.feedback.position_curve import position_curve
from pipeline.feedback.training import Feedback, gather_feedback
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.run_report.content import gather
from pipeline.run_report.page import render
from pipeline.settings import Settings
from pipeline.steps import RunInfo, write_run_info
from pipeline.steps.feedback import feedback, load_exposures
from pipeline.train import TrainingPart, TrainSettings, training_queries
from pipeline.train.challengers import Shape, train_shape
from pipeline.train.graded import NO_PLACE, GradedExample, ranked_rows
from pipeline.train.model import replay_parts
from ranking.ranker import Ranker
from ranking.recall import RecallSettings
from ranking.replay import Knowledge
from servicekit.database import migrate, open_database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONTH = Period(NOW - timedelta(days=30), NOW)
SMALL = TrainSettings(queries=300, trees=40, leaves=7)
AUTO = FeedbackSettings(least=20)


class Shop:
    """The event log of feature-sync, with exposures and outcomes by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = open_database(url, SCHEMA)
        migrate(self._engine, SCHEMA, Path(feature_sync.__file__).parent / "migrations")

    def show(self, name: str, days: float = 1.0, **values: Any) -> None:
        given = {
            "exposure_id": name,
            "user_id": 7,
            "dataset_ids": [11, 12, 13],
            "scores": [0.75, 0.5, 0.25],
            "request_id": name,
            "endpoint": "/recommend/user",
            "fallback_level": 0,
            "ts": NOW - timedelta(days=days),
        }
        EventLog(self._engine).add([], exposures=[Exposure.model_validate(given | values)])

    def take(self, name: str, position: int, kind: str = "click", days: float = 1.0) -> None:
        row = {"event_id": f"{name}-{position}-{kind}", "ts": NOW - timedelta(days=days), "type": kind, "user_id": 7}
        with self._engine.begin() as connection:
            connection.execute(insert(outcomes), [row | {"dataset_id": 11, "exposure_id": name, "position": position}])

    def count(self, version: str, position: int, exposures: int, clicks: int, days: float = 1.0) -> None:
        row = {"ts": NOW - timedelta(days=days), "model_version": version, "variant": "primary", "endpoint": "/similar"}
        counts = {"position": position, "exposures": exposures, "clicks": clicks, "favorites": 0, "purchases": 1}
        with self._engine.begin() as connection:
            connection.execute(insert(outcome_hours), [row | counts])

    def read(self, period: Period = MONTH, most: int = 100) -> list[dict[str, Any]]:
        log = open_event_log(SecretStr(self.url))
        assert log is not None
        with log:
            return read_exposures(log, period, most).to_pylist()

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    url = f"sqlite:///{tmp_path}/recsys.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = Shop(url)
    yield made
    made.close()


def test_answers_with_an_outcome_are_read_with_the_grade_of_the_strongest_one(shop: Shop) -> None:
    shop.show("taken", days=2)
    shop.take("taken", 1)
    shop.take("taken", 1, "purchase")
    shop.take("taken", 2, "favorite")
    assert shop.read() == [
        {
            "at": int((NOW - timedelta(days=2)).timestamp()),
            "user_id": 7,
            "dataset_ids": [11, 12, 13],
            "scores": [0.75, 0.5, 0.25],
            "grades": [0, 3, 2],
            "is_drawn": False,
        }
    ]


def test_drawn_answers_are_read_without_an_outcome_too_and_nothing_else_is(shop: Shop) -> None:
    shop.show("not-taken")
    shop.show("nobody", user_id=None, propensity=[1 / 6] * 3)
    shop.show("level-1", fallback_level=1, propensity=[1 / 6] * 3)
    shop.show("about-a-dataset", endpoint="/recommend/detail", propensity=[1 / 6] * 3)
    shop.show("old", days=31, propensity=[1 / 6] * 3)
    shop.show("drawn", propensity=[1 / 6] * 3)
    (found,) = shop.read()
    assert (found["grades"], found["is_drawn"]) == ([0, 0, 0], True)


def test_nothing_after_the_period_is_known_and_the_newest_answers_come_first_where_there_are_too_many(
    shop: Shop,
) -> None:
    for number in range(4):
        shop.show(f"answer-{number}", days=4 - number)
        shop.take(f"answer-{number}", number % 3, days=4 - number)
    days = [1, 2, 3]
    as_of = MONTH._replace(until=NOW - timedelta(days=0.5))
    assert [each["at"] for each in shop.read(as_of, most=3)] == [
        int((NOW - timedelta(days=each)).timestamp()) for each in reversed(days)
    ]
    earlier = MONTH._replace(until=NOW - timedelta(days=2.5))
    assert [each["grades"] for each in shop.read(earlier)] == [[1, 0, 0], [0, 1, 0]]


def test_a_log_without_the_tables_has_no_answers(tmp_path: Path) -> None:
    (tmp_path / "recsys.db.events").touch()
    log = open_event_log(SecretStr(f"sqlite:///{tmp_path}/recsys.db"))
    assert log is not None
    with log:
        assert len(read_exposures(log, MONTH, 100)) == 0
        assert read_online(log, MONTH) == {}


@pytest.fixture(scope="module")
def parts(records: Records) -> list[TrainingPart]:
    items = item_state(records, 42).table
    knowledge = Knowledge(build_tables(records, content_neighbours(items.content), 42), RecallSettings(), items)
    return [TrainingPart(past, knowledge) for past in training_queries(records, SMALL)]


@pytest.fixture(scope="module")
def exposures(records: Records, parts: list[TrainingPart]) -> pa.Table:
    """Answers to the users of the newest queries: ten popular datasets, of which each user took the two cheapest."""
    popular = np.argsort(-np.bincount(records.item, minlength=len(records.catalogue)))[:40]
    rng = np.random.default_rng(1)
    rows = []
    for number, row in enumerate(parts[1].past.rows):
        shown = rng.choice(popular, 10, replace=False)
        cheapest = np.argsort(records.catalogue.prices[shown])[:2]
        rows.append(
            {
                "at": int(records.ts[row]),
                "user_id": int(records.user_ids[records.user[row]]),
                "dataset_ids": records.catalogue.ids[shown].tolist(),
                "scores": np.linspace(0.9, 0.1, 10).tolist(),
                "grades": np.isin(np.arange(10), cheapest).astype(int).tolist(),
                "is_drawn": number % 2 == 0,
            }
        )
    return pa.Table.from_pylist(rows, EXPOSURES)


def ranker_of(records: Records, parts: list[TrainingPart], graded: Sequence[GradedExample]) -> Ranker:
    kept = replay_parts(records, parts, SMALL, graded)
    return Ranker(train_shape(Shape(linear=False, trees=SMALL.trees), kept.examples, SMALL, kept.graded))


@pytest.fixture(scope="module")
def untaught(records: Records, parts: list[TrainingPart]) -> Ranker:
    """A ranker that learned from queries alone."""
    return ranker_of(records, parts, ())


def learned(records: Records, parts: list[TrainingPart], exposures: pa.Table, settings: FeedbackSettings) -> Feedback:
    return gather_feedback(records, parts[1], exposures, settings, SMALL)


@pytest.mark.parametrize(
    ("settings", "kept", "reason"),
    [
        (FeedbackSettings(is_used=False), 1000, "feedback.enabled is false"),
        (AUTO, 0, "0 answers with an outcome since the training's cut, fewer than feedback.least (20)"),
        (AUTO, 15, "15 answers with an outcome since the training's cut, fewer than feedback.least (20)"),
    ],
)
def test_with_no_or_too_few_answers_training_is_as_before_and_says_why(
    records: Records,
    parts: list[TrainingPart],
    exposures: pa.Table,
    untaught: Ranker,
    settings: FeedbackSettings,
    kept: int,
    reason: str,
) -> None:
    # `ranked_rows` without graded examples is what training had before.
    ordered = [each | {"is_drawn": False} for each in exposures.slice(0, kept).to_pylist()]
    found = learned(records, parts, pa.Table.from_pylist(ordered, EXPOSURES), settings)
    assert (found.graded, found.reason) == ((), reason)
    assert all(found.without_measured(part.past, records) is part.past for part in parts)
    document = found.document(untaught)
    assert (document["is_used"], document["reason"]) == (False, reason)
    why = "no answer was in random order: EXPLORATION_SHARE is 0" if settings.is_used else reason
    assert document["off_policy"] == {"is_identifiable": False, "reason": f"not identifiable: {why}"}


def test_what_was_taken_is_ranked_above_what_was_shown_beside_it(
    records: Records, parts: list[TrainingPart], exposures: pa.Table, untaught: Ranker
) -> None:
    found = learned(records, parts, exposures, AUTO)
    assert len(found.graded) >= 20

    def mean_place_of_taken(ranker: Ranker) -> float:
        places = []
        for replayed in found.measuring:
            order = np.argsort(-ranker.scores(replayed.matrix), kind="stable")
            places += [place for place, row in enumerate(order) if replayed.answer.grades[replayed.places[row]]]
        return float(np.mean(places))

    # No ranker has learned from the answers that measure.
    assert mean_place_of_taken(ranker_of(records, parts, found.graded)) < mean_place_of_taken(untaught) - 0.5


def test_no_model_learns_from_the_outcomes_that_measure_it(
    records: Records, parts: list[TrainingPart], exposures: pa.Table
) -> None:
    found = learned(records, parts, exposures, AUTO)
    assert found.measured
    assert {each.answer.is_drawn for each in found.measuring} == {True}
    for part in parts:
        rows = found.without_measured(part.past, records).rows
        targets = set(zip(records.user[rows].tolist(), records.item[rows].tolist(), strict=True))
        assert not targets & found.measured
    measuring_users = {each.answer.user for each in found.measuring}
    assert measuring_users
    assert len({example.user for example in found.graded} - measuring_users) > 0


def test_answers_of_before_the_tables_are_not_replayed(
    records: Records, parts: list[TrainingPart], exposures: pa.Table
) -> None:
    known_until = parts[1].past.known_until
    assert known_until is not None
    earlier = [each | {"at": known_until - 1} for each in exposures.to_pylist()]
    assert learned(records, parts, pa.Table.from_pylist(earlier, EXPOSURES), AUTO).answers == 0


def test_an_answers_rows_have_its_places_and_those_of_queries_share_one() -> None:
    query = np.zeros((3, 2), np.float32)
    answer = GradedExample(np.ones((2, 2), np.float32), np.array([0, 2], np.uint8), np.array([4, 90]), 0.5, user=1)
    rows = ranked_rows([query], [answer])
    assert rows.groups == [3, 2]
    assert rows.labels.tolist() == [0, 0, 1, 0, 2]
    assert rows.places is not None
    assert rows.places.tolist() == [NO_PLACE, NO_PLACE, NO_PLACE, 4, 20]
    assert rows.weights is not None
    assert rows.weights.tolist() == [1, 1, 1, 0.5, 0.5]
    alone = ranked_rows([query], [])
    assert (alone.places, alone.weights) == (None, None)


def test_the_position_curve_is_the_rate_of_each_place_relative_to_the_first() -> None:
    grades = [np.array(each, np.uint8) for each in ([1, 0, 1], [1, 3, 0], [0, 0, 0], [1, 0, 0], [1, 1])]
    assert position_curve(grades) == pytest.approx([1.0, 1 / 3, 1 / 3])
    assert position_curve([]) == position_curve([np.zeros(3, np.uint8)]) == []


def test_an_outcome_counts_by_how_unlikely_its_place_was_and_nothing_else_counts() -> None:
    took_first = [np.array([True, False])] * 4
    drawn = DrawnOutcomes(np.arange(4), took_first)
    kept, turned = [np.array([0, 1])] * 2, [np.array([1, 0])] * 2
    # Two answers are in the order that was drawn: each had one outcome.
    assert snips(drawn, [*kept, *turned]).value == pytest.approx(1.0)
    assert snips(drawn, turned * 2) == (0.0, 0.0, 0.0)
    same = snips_difference(drawn, [*kept, *turned], [*kept, *turned])
    assert same == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("other_length", [20, 50])
def test_answers_of_two_lengths_are_estimated_without_a_bias_by_the_clipping(other_length: int) -> None:
    random = np.random.default_rng(7)
    lengths = random.choice([10, other_length], 20_000)
    outcomes = [random.random(length) < 0.3 / length for length in lengths]
    orders = [random.permutation(length) for length in lengths]
    found = snips(DrawnOutcomes(np.arange(len(lengths)), outcomes), orders)
    assert found.low < 0.3 < found.high


def test_the_step_reads_the_log_up_to_the_time_of_the_run(tmp_path: Path, shop: Shop) -> None:
    shop.show("before", days=1)
    shop.take("before", 0)
    shop.show("after", days=-1)
    shop.take("after", 0, days=-1)
    run = str(tmp_path / "runs" / "one")
    write_run_info(run, RunInfo(run_id="one", as_of=NOW, started_at=NOW + timedelta(days=2), publish=False))
    off = tmp_path / "off.yaml"
    off.write_text("feedback: {enabled: off}", encoding="utf-8")
    for config, answers in ((None, 1), (off, 0)):
        feedback(Settings(database_url=SecretStr(shop.url), pipeline_config=config), run)
        assert len(load_exposures(run)) == answers


def test_the_shares_of_the_last_week_are_read_by_version(tmp_path: Path, shop: Shop) -> None:
    shop.count("12", position=0, exposures=60, clicks=9)
    shop.count("12", position=1, exposures=40, clicks=1)
    shop.count("12", position=NOWHERE, exposures=0, clicks=5)
    shop.count("11", position=0, exposures=10, clicks=1, days=8)
    run = str(tmp_path / "runs" / "one")
    write_run_info(run, RunInfo(run_id="one", as_of=NOW, started_at=NOW, publish=False))
    feedback(Settings(database_url=SecretStr(shop.url), pipeline_config=None), run)
    ((place, shares),) = gather(run).online.items()
    assert (place, shares["exposures"], shares["clicks"]) == ("12 primary /similar", 100, 0.1)
    assert (shares["clicks_low"], shares["clicks_high"]) == pytest.approx(wilson_interval(10, 100))
    page = render(gather(run), NOW).decode()
    assert "12 primary /similar" in page
