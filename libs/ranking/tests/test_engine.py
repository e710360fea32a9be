"""The engine answers from a bundle: which datasets are left out, the order, and the features."""

from pathlib import Path

import numpy as np
import pytest

from contracts.features import FEATURES, ITEM_FEATURES, SCORED_CHANNELS
from contracts.user_blob import History, PackedHistory
from ranking.engine import Engine, RankingQuery
from ranking.features import feature_matrix
from ranking.ranker import Ranker, UnusableRankerError
from ranking.testing import MODEL_END, tiny_contents
from ranking.user import NO_TIME

COLUMN = {feature.name: column for column, feature in enumerate(FEATURES)}
USER = np.array([2.0, 0.25, 4.0, 1.0, 2.5, 3.0, 1.5, 3.5], np.float32)


# A user's habit, and the item feature that it is compared with.
GAPS = {
    "user_trend_1d": "item_popularity_1d",
    "user_trend_7d": "item_popularity_7d",
    "user_age": "item_age_days",
    "user_recent_trend_1d": "item_popularity_1d",
    "user_recent_age": "item_age_days",
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The tiny bundle, loaded."""
    return Engine(tiny_contents())


def user_history(engine: Engine, positions: list[int]) -> History:
    ids = engine.contents.catalogue.ids[positions]
    return History(ids, 1_760_000_000 - np.arange(len(ids)) * 3600, np.full(len(ids), 2, np.uint8))


def ask(engine: Engine, question: RankingQuery, limit: int = 20) -> list[int]:
    return engine.rank(question, engine.recall(question), limit).items.tolist()


def test_the_dataset_itself_seen_ones_and_filtered_ones_are_left_out(engine: Engine) -> None:
    free = ask(engine, RankingQuery(5), 500)
    seen = free[:3]
    user = engine.user(None, user_history(engine, seen).packed())
    kept = ask(engine, RankingQuery(5, user, keep=lambda items: items % 2 == 0), 500)
    assert kept
    assert not {5, *seen} & set(kept)
    assert all(item % 2 == 0 for item in kept)


def test_answers_are_best_first_with_scores_between_zero_and_one(engine: Engine) -> None:
    question = RankingQuery(5, engine.user(None, user_history(engine, [1, 2, 3]).packed()))
    ranked = engine.rank(question, engine.recall(question), 10)
    assert len(ranked.items) == len(set(ranked.items.tolist())) == 10
    assert (np.diff(ranked.scores) <= 0).all()
    assert ((ranked.scores > 0) & (ranked.scores < 1)).all()
    assert all(ranked.channels)


def test_a_query_has_one_answer(engine: Engine) -> None:
    question = RankingQuery(5, engine.user(None, user_history(engine, [1, 2, 3]).packed()))
    again = Engine(tiny_contents())
    assert ask(engine, question) == ask(again, question)


def test_a_dataset_without_neighbours_is_answered_with_popular_ones(engine: Engine) -> None:
    cold = len(engine.contents.catalogue) - 1
    question = RankingQuery(cold)
    candidates = engine.recall(question)
    proposing = {channel for row in range(len(candidates.items)) for channel in candidates.channels(row)}
    assert proposing == {"popular", "popular_30d"}


def test_history_that_is_not_in_the_catalogue_is_ignored(engine: Engine) -> None:
    history = History(np.array([10**12]), np.array([1_760_000_000]), np.array([4], np.uint8))
    assert len(engine.user(None, history.packed()).items) == 0
    assert ask(engine, RankingQuery(5, engine.user(None, history.packed()))) == ask(engine, RankingQuery(5))


def test_nothing_to_rank_is_an_empty_answer(engine: Engine) -> None:
    question = RankingQuery(5, keep=lambda items: np.zeros(len(items), np.bool_))
    assert ask(engine, question) == []


def test_the_fused_call_equals_the_separate_steps(engine: Engine) -> None:
    by_booster = Engine(engine.contents)
    by_booster.ranker.forest = None
    now = int(MODEL_END.timestamp())
    for anchor in (None, *range(0, 200, 7)):
        ids = engine.contents.catalogue.ids[np.arange(anchor or 3, 200, 9)]
        times = now - np.arange(len(ids)) * 3600
        long_term, live = (
            History.build(ids[part], times[part], np.full(len(ids[part]), 2, np.uint8)).packed()
            for part in (slice(2, None), slice(0, 4))
        )
        features = USER[: 3 if (anchor or 0) % 2 else None] if anchor else None
        at = now + 600 if anchor != 7 else NO_TIME
        rank_fused = engine.rank_fused(features, long_term, live, anchor=anchor, limit=20, at=at)
        assert rank_fused is not None
        assert 0 < rank_fused.recall_seconds < 1
        assert 0 < rank_fused.rank_seconds < 1
        for steps in (engine, by_booster):
            question = RankingQuery(anchor, steps.user(features, long_term, live, at))
            ranked = steps.rank(question, steps.recall(question), 20)
            for one, other in zip(rank_fused.best, ranked.best, strict=True):
                np.testing.assert_array_equal(one, other)


def test_hidden_datasets_are_left_out_as_by_a_filter_and_others_take_their_place(engine: Engine) -> None:
    for anchor in range(0, 200, 20):
        user = (None, PackedHistory(), PackedHistory())
        shown = engine.rank_fused(*user, anchor=anchor, limit=20)
        assert shown is not None
        hidden = np.sort(shown.best.items[::2])
        rest = engine.rank_fused(*user, anchor=anchor, limit=20, hidden=hidden)
        assert rest is not None
        assert len(rest.best.items) == 20
        question = RankingQuery(anchor, engine.user(*user), lambda items, hidden=hidden: ~np.isin(items, hidden))  # type: ignore[misc]
        by_steps = engine.rank(question, engine.recall(question, at_least=20), 20)
        for one, other in zip(rest.best, by_steps.best, strict=True):
            np.testing.assert_array_equal(one, other)
        again = engine.rank_fused(*user, anchor=anchor, limit=20)
        assert again is not None
        np.testing.assert_array_equal(again.best.items, shown.best.items)


def test_a_query_that_needs_the_separate_steps_is_not_fused(engine: Engine) -> None:
    nothing = (None, PackedHistory(), PackedHistory())
    assert engine.rank_fused(*nothing, anchor=5, limit=20) is not None
    assert engine.rank_fused(*nothing, anchor=5, limit=200) is None, "recall proposes fewer"
    by_booster = Engine(engine.contents)
    by_booster.ranker.forest = None
    assert by_booster.rank_fused(*nothing, anchor=5, limit=20) is None


def test_every_feature_stands_in_its_column(engine: Engine) -> None:
    contents = engine.contents
    user = engine.user(USER, user_history(engine, [1, 2]).packed(), at=1_760_000_000 + 1800)
    question = RankingQuery(5, user)
    found = engine.recall(question)
    matrix = feature_matrix(
        found, contents.item_rows[found.items], contents.table, anchor=question.anchor, user=question.user
    )
    table = contents.table
    for row, item in enumerate(found.items.tolist()):
        line = matrix[row]
        np.testing.assert_array_equal(line[: len(ITEM_FEATURES)], contents.item_rows[item])
        np.testing.assert_array_equal(line[COLUMN["vote_behavior"] : COLUMN["score_behavior"]], found.votes[row])
        np.testing.assert_array_equal(line[COLUMN["score_behavior"] : COLUMN["rank_behavior"]], found.scores[row, :5])
        np.testing.assert_array_equal(line[COLUMN["rank_behavior"] : COLUMN["channel_count"]], found.ranks[row, :5])
        assert line[COLUMN["channel_count"]] == len(set(found.channels(row)) & set(SCORED_CHANNELS))
        np.testing.assert_array_equal(line[COLUMN["user_interactions"] :][:8], USER)
        np.testing.assert_allclose(line[COLUMN["user_idle_hours"] :][:3], np.log1p([0.5, 1, 2]), rtol=1e-6)
        assert line[COLUMN["user_price_gap"]] == table.log_price[item] - np.float32(4.0)
        affinity = float(sum(w * (table.content[item] @ table.content[i]) for i, w in zip(user.items, user.weights)))  # noqa: B905 - NumPy rows
        assert line[COLUMN["user_content_affinity"]] == pytest.approx(affinity, abs=1e-5)
        recent = float(sum(w * (table.content[item] @ table.content[i]) for i, w in zip(user.items, user.recent)))  # noqa: B905 - NumPy rows
        assert line[COLUMN["user_recent_affinity"]] == pytest.approx(recent, abs=1e-5)
        for habit, value in GAPS.items():
            assert line[COLUMN[f"{habit}_gap"]] == line[COLUMN[value]] - line[COLUMN[habit]]
        same = sum(w for i, w in zip(user.items, user.weights) if table.provider[i] == table.provider[item])  # noqa: B905 - NumPy rows
        assert line[COLUMN["user_provider_share"]] == pytest.approx(float(same), abs=1e-6)
        near = table.content[item] @ table.content[5]
        assert line[COLUMN["anchor_content_similarity"]] == pytest.approx(near, abs=1e-6)
        assert line[COLUMN["anchor_price_gap"]] == table.log_price[item] - table.log_price[5]
        assert line[COLUMN["anchor_same_provider"]] == (table.provider[item] == table.provider[5])


def test_the_time_of_a_query_changes_its_answer_only_by_the_session(engine: Engine) -> None:
    history = user_history(engine, [1, 2, 3]).packed()
    early, late = (engine.user(USER, history, at=1_760_000_000 + after) for after in (60, 10 * 86_400))
    for one, other in zip(early._replace(session=late.session), late, strict=True):
        np.testing.assert_array_equal(one, other)
    assert early.session.tolist() != late.session.tolist()


def test_scores_do_not_depend_on_other_rows_or_on_threads(engine: Engine) -> None:
    matrix = np.random.default_rng(0).random((50, len(FEATURES))).astype(np.float32)
    together = engine.ranker.scores(matrix, threads=2)
    assert [float(engine.ranker.scores(row[None])[0]) for row in matrix] == together.tolist()
    np.testing.assert_allclose(engine.ranker.contributions(matrix).sum(axis=1), together, rtol=1e-9)


@pytest.mark.parametrize("text", ["", "tree", "tree\nversion=v4\nnum_class=1\n"])
def test_a_text_that_is_not_a_model_is_rejected(text: str) -> None:
    with pytest.raises(UnusableRankerError):
        Ranker(text)


def test_a_model_of_other_features_is_rejected(engine: Engine) -> None:
    text = engine.contents.ranker_text.replace("item_popularity_1d", "moon_phase")
    with pytest.raises(UnusableRankerError, match=r"features that this release does not compute: moon_phase$"):
        Ranker(text)


def test_a_missing_history_and_catalogue_give_no_positions(tmp_path: Path, engine: Engine) -> None:
    catalogue = engine.contents.catalogue.only(np.array([3, 7]))
    assert catalogue.position(int(catalogue.ids[1])) == 1
    assert catalogue.positions(np.array([1, int(catalogue.ids[1]), 10**12])).tolist() == [-1, 1, -1]
    assert engine.contents.catalogue.only(np.empty(0, np.int64)).positions(np.array([1])).tolist() == [-1]
    catalogue.save(tmp_path / "items.parquet")
    assert list(type(catalogue).load(tmp_path / "items.parquet").titles) == list(catalogue.titles)
    assert catalogue.tagged("DEMO").tolist() == [0, 1]
    assert catalogue.tagged("nothing").tolist() == []
