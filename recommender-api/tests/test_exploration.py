"""Exploration: some users' hours show the best candidates in random order, with a known probability."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis

from contracts import redis_keys
from contracts.events import Exposure, read_entry
from contracts.withdrawn import WithdrawnList
from recommender_api.answers.exploration import POOL, Exploration
from recommender_api.answers.query import Endpoint, Query
from testkit.running_app import RunningApp

HOUR = 3600
NOON = 491_000 * HOUR
USER = "/recommend/user/7"

Until = Callable[..., float]
Serve = Callable[[float], RunningApp]


@pytest.fixture
def serve(start: Callable[..., RunningApp], tmp_path: Path) -> Serve:
    """Return the service with a share of exploration; each share is one process beside the others."""

    @cache
    def serve(share: float) -> RunningApp:
        folder = tmp_path / f"share-{share}"
        return start(exploration_share=share, model_cache_dir=folder / "models", event_journal_dir=folder / "journal")

    return serve


def query(user: int | None, limit: int = 10) -> Query:
    return Query(Endpoint.USER, limit, user_id=user)


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["dataset_id"] for item in answer["items"]]


def exposures(client: redis.Redis) -> list[Exposure]:
    read = [read_entry(fields) for _, fields in client.xrange(redis_keys.EVENT_STREAM)]
    return [each for each in read if isinstance(each, Exposure)]


def test_the_share_of_pairs_of_user_and_hour_explores() -> None:
    exploration = Exploration(0.1)
    drawn = sum(
        exploration.draw(query(user), NOON + hour * HOUR) is not None for user in range(500) for hour in range(40)
    )
    # Three standard deviations of a binomial count.
    assert drawn == pytest.approx(2000, abs=130)
    assert all(Exploration(1.0).draw(query(user), NOON) is not None for user in range(200))


def test_a_choice_is_the_same_for_an_hour_and_another_one_for_another_hour_user_or_query() -> None:
    exploration = Exploration(1.0)
    draws = {
        exploration.draw(asked, at)
        for asked, at in ((query(7), NOON), (query(7), NOON + HOUR), (query(8), NOON), (query(7, limit=9), NOON))
    }
    assert len(draws) == 4
    assert exploration.draw(query(7), NOON + HOUR - 1) == exploration.draw(query(7), NOON)
    assert exploration.draw(query(None), NOON) is None


def test_each_candidate_is_equally_often_at_each_place() -> None:
    exploration = Exploration(1.0)
    counts: Counter[tuple[int, int]] = Counter()
    for user in range(6000):
        draw = exploration.draw(query(user, limit=3), NOON)
        assert draw is not None
        rows = draw.choose(POOL * 3)
        assert len(set(rows)) == 3
        counts.update(enumerate(rows))
    # 1,000 in each of the 18 cells: four standard deviations.
    assert len(counts) == 18
    assert all(count == pytest.approx(1000, abs=120) for count in counts.values())


def test_fewer_candidates_than_asked_for_are_all_shown() -> None:
    draw = Exploration(1.0).draw(query(7), NOON)
    assert draw is not None
    assert sorted(draw.choose(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("parameters", [{}, {"explain": True}, {"max_price": 250}])
def test_an_explored_answer_shows_some_of_the_best_candidates_and_repeats_within_the_hour(
    serve: Serve, parameters: dict[str, Any]
) -> None:
    ordered = ids(serve(0).ask(USER, limit=10, **parameters))
    best = ids(serve(0).ask(USER, limit=20, **parameters))
    api = serve(1)
    # Two answers may lie on both sides of an hour's end, three not.
    first, second, third = (ids(api.ask(USER, limit=10, **parameters)) for _ in range(3))
    assert second in (first, third)
    assert second != ordered
    assert len(set(second)) == 10
    assert set(second) <= set(best)
    assert "recommender_explored_answers_total 3.0" in api.get("/metrics").text


def test_an_explored_answer_is_never_cached_nor_taken_from_the_cache(
    serve: Serve, redis_client: redis.Redis, until: Until
) -> None:
    ordered = serve(0).ask(USER)
    until(lambda: redis_client.keys("last:*"))
    api = serve(1)
    assert ids(api.ask(USER)) != ids(ordered)
    # Its writes come after those of the answer before.
    api.ask("/similar/105")
    until(lambda: len(redis_client.keys("res:*")) == 2)
    assert len(redis_client.keys("last:*")) == 2
    assert ids(serve(0).ask(USER)) == ids(ordered)


def test_an_exposure_says_that_it_was_drawn_and_with_which_probability(
    serve: Serve, redis_client: redis.Redis, until: Until
) -> None:
    answer = serve(1).ask(USER, limit=5)
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 1)
    serve(0).ask(USER, limit=5)
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM) == 2)
    drawn, ordered = exposures(redis_client)
    assert drawn.dataset_ids == ids(answer)
    assert drawn.propensity == pytest.approx([1 / 10] * 5)
    assert ordered.propensity is None
    assert b"propensity" not in redis_client.xrange(redis_keys.EVENT_STREAM)[1][1][b"exposures"]


def test_withdrawn_and_excluded_datasets_are_not_explored(
    serve: Serve, redis_client: redis.Redis, until: Until
) -> None:
    excluded, withdrawn = ids(serve(0).ask(USER, limit=2))
    redis_client.set(redis_keys.WITHDRAWN, WithdrawnList.of(1, [withdrawn]).pack())
    api = serve(1)
    until(lambda: "withdrawn_datasets 1.0" in api.get("/metrics").text)
    shown = ids(api.ask(USER, limit=50, exclude=str(excluded)))
    assert len(shown) == 50
    assert not {excluded, withdrawn} & set(shown)
