"""Training sees the past as serving would have: nothing later, nothing else, the same bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.items import item_state
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.train import TrainingError, TrainingPart, TrainSettings, train_on, training_queries, training_tables
from pipeline.train.model import last_pairs, of_pairs
from pipeline.train.queries import PastQueries, ReplayedQuery, replay_queries
from ranking.bundle import BundleContents
from ranking.engine import Engine
from ranking.ranker import Ranker
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Kind, Knowledge

SMALL = TrainSettings(queries=400, trees=10, leaves=15)
RECALL = RecallSettings()
COLUMNS = ("user", "item", "ts", "types")


@pytest.fixture(scope="module")
def knowledge(records: Records) -> Knowledge:
    """Tables of all data, and the items' constant data."""
    items = item_state(records, 42).table
    return Knowledge(build_tables(records, content_neighbours(items.content), 42), RECALL, items)


@pytest.fixture(scope="module")
def both(records: Records) -> list[PastQueries]:
    """Both parts of the training queries."""
    return training_queries(records, SMALL)


@pytest.fixture(scope="module")
def past(both: list[PastQueries]) -> PastQueries:
    """The queries about each user's last datasets."""
    return both[0]


@pytest.fixture(scope="module")
def late(both: list[PastQueries]) -> PastQueries:
    """The queries whose tables are of the time before them."""
    return both[1]


@pytest.fixture(scope="module")
def parts(both: list[PastQueries], knowledge: Knowledge) -> list[TrainingPart]:
    """Both parts with the same tables."""
    return [TrainingPart(each, knowledge) for each in both]


@pytest.fixture(scope="module")
def engine(records: Records, knowledge: Knowledge, parts: list[TrainingPart]) -> Engine:
    """The model as it would be deployed."""
    state = item_state(records, 42)
    n = len(records.catalogue)
    return Engine(
        BundleContents(
            records.catalogue,
            state.rows,
            state.table,
            replace(knowledge.tables, popular=state.popular, popular_30d=state.popular_30d),
            RECALL,
            train_on(records, parts, SMALL).text,
            Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)),
            state.trending,
            [],
        )
    )


def equal_tables(first: RecallTables, second: RecallTables) -> None:
    for name in ("behavior", "content", "vector", "transition"):
        for one, other in zip(getattr(first, name), getattr(second, name), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def same(first: ReplayedQuery, second: ReplayedQuery) -> bool:
    return np.array_equal(first.matrix, second.matrix) and np.array_equal(
        first.candidates.items, second.candidates.items
    )


def test_interactions_at_or_after_a_querys_time_do_not_change_its_features(
    records: Records, knowledge: Knowledge, past: PastQueries
) -> None:
    middle = len(past.rows) // 2
    at = records.ts[past.rows[middle]]
    later = records.ts >= at
    # Other interactions from that time on: stronger, and with other datasets.
    scrambled = replace(
        records,
        item=np.where(later, records.item[::-1], records.item).astype(np.int32),
        types=np.where(later, 4, records.types).astype(np.uint8),
    )
    one = PastQueries(past.rows[middle : middle + 1], past.kinds[middle : middle + 1])
    (before,) = replay_queries(records, records, knowledge, one)
    (after,) = replay_queries(records, scrambled, knowledge, one)
    assert len(before.matrix)
    assert same(before, after)


def test_the_interaction_just_before_a_querys_time_changes_its_features(
    records: Records, knowledge: Knowledge, past: PastQueries
) -> None:
    one = PastQueries(past.rows[-1:], past.kinds[-1:])
    latest = np.arange(len(records)) == np.searchsorted(records.ts, records.ts[past.rows[-1]]) - 1
    (before,) = replay_queries(records, records, knowledge, one)
    (after,) = replay_queries(records, records.only(~latest), knowledge, one)
    assert not same(before, after)


def test_a_query_has_the_same_features_alone_and_among_others(
    records: Records, knowledge: Knowledge, past: PastQueries
) -> None:
    together = list(replay_queries(records, records, knowledge, past))
    for number in (0, 57, len(past.rows) - 1):
        (alone,) = replay_queries(records, records, knowledge, PastQueries(past.rows[[number]], past.kinds[[number]]))
        assert same(alone, together[number])


def test_the_targets_are_not_in_the_tables_for_the_rankers_training(records: Records, past: PastQueries) -> None:
    held = records.only(~of_pairs(records, past.rows))
    known = {*zip(held.user.tolist(), held.item.tolist(), strict=True)}
    targets = {*zip(records.user[past.rows].tolist(), records.item[past.rows].tolist(), strict=True)}
    assert len(targets) == len(past.rows) == 160
    assert not targets & known
    content = content_neighbours(item_state(records, 42).table.content)
    equal_tables(training_tables(records, past, content, 42), build_tables(held, content, 42))


def test_the_late_queries_are_new_datasets_from_their_first_moment_on(records: Records, late: PastQueries) -> None:
    assert late.known_until is not None
    first_moment = records.ts[late.rows].min()
    assert records.start < late.known_until <= first_moment
    assert np.isin(late.rows, records.first_of_pair).all()
    # Of active users there are more than the last datasets.
    assert np.bincount(records.user[late.rows]).max() > SMALL.targets_per_user


def test_the_tables_of_the_late_queries_know_nothing_from_their_first_moment_on(
    records: Records, late: PastQueries
) -> None:
    assert late.known_until is not None
    content = content_neighbours(item_state(records, 42).table.content)
    tables = training_tables(records, late, content, 42)
    later = records.ts >= late.known_until
    scrambled = replace(records, item=np.where(later, records.item[::-1], records.item).astype(np.int32))
    equal_tables(training_tables(scrambled, late, content, 42), tables)
    # The last day before it is known.
    last = ~later & (records.ts >= late.known_until - 86_400)
    fewer = training_tables(records.only(~last), late._replace(rows=late.rows - int(last.sum())), content, 42)
    assert not np.array_equal(fewer.behavior.scores, tables.behavior.scores)
    assert not np.array_equal(fewer.transition.scores, tables.transition.scores)


@pytest.mark.parametrize("queries", [100, 401, 100_000])
def test_there_are_at_most_as_many_queries_as_asked_for_and_three_fifths_are_late(
    records: Records, queries: int
) -> None:
    last, late = training_queries(records, replace(SMALL, queries=queries))
    assert len(last.rows) + len(late.rows) <= queries
    assert len(late.rows) <= queries * 0.6
    for each in (last, late):
        assert (np.diff(each.rows) > 0).all()
        assert len(each.kinds) == len(each.rows) > 0
    if queries < 1000:
        assert (len(last.rows), len(late.rows)) == (queries - int(queries * 0.6), int(queries * 0.6))


def test_the_ranker_learns_from_the_late_queries_with_their_own_tables(
    records: Records, knowledge: Knowledge, past: PastQueries, late: PastQueries
) -> None:
    content = content_neighbours(knowledge.items.content)
    earlier = Knowledge(training_tables(records, late, content, 42), RECALL, knowledge.items)
    first = TrainingPart(past, knowledge)
    texts = {
        train_on(records, parts, SMALL).text
        for parts in ([first], [first, TrainingPart(late, knowledge)], [first, TrainingPart(late, earlier)])
    }
    assert len(texts) == 3


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 2))
def test_the_last_pairs_are_each_users_latest_new_datasets(records: Records, per_user: int, least: int) -> None:
    chosen = last_pairs(records, per_user, least_before=least, seed=42)
    expected = []
    for user in range(len(records.user_ids)):
        first: dict[int, int] = {}
        for row in records.rows_of(user).tolist():
            first.setdefault(int(records.item[row]), row)
        expected += sorted(first.values())[least:][-per_user:]
    assert chosen.tolist() == sorted(expected)


def test_of_datasets_of_one_second_the_seed_chooses_the_last_and_not_their_number(records: Records) -> None:
    equal = replace(records, ts=np.full_like(records.ts, 1_760_000_000))
    first, again, other = (last_pairs(equal, 1, least_before=1, seed=seed) for seed in (42, 42, 1))
    np.testing.assert_array_equal(first, again)
    assert np.isin(first, other).mean() < 0.5
    by_number = [records.item[records.rows_of(int(user))].max() for user in equal.user[first]]
    assert (equal.item[first] == by_number).mean() < 0.3


def test_the_other_datasets_of_the_querys_own_second_are_not_among_the_candidates(
    records: Records, knowledge: Knowledge, past: PastQueries
) -> None:
    one = PastQueries(past.rows[-1:], past.kinds[-1:])
    (before,) = replay_queries(records, records, knowledge, one)
    row = int(one.rows[0])
    other = int(before.candidates.items[before.candidates.items != before.target][0])
    # The user's interaction is followed by one with another candidate, in the same second.
    doubled = replace(
        records, **{name: np.insert(getattr(records, name), row, getattr(records, name)[row]) for name in COLUMNS}
    )
    doubled.item[row] = other
    shifted = PastQueries(one.rows + 1, one.kinds)
    (after,) = replay_queries(doubled, doubled, knowledge, shifted)
    assert set(before.candidates.items.tolist()) - set(after.candidates.items.tolist()) == {other}


@pytest.mark.parametrize("part", [0, 1], ids=["last", "late"])
def test_all_three_kinds_of_queries_occur(
    records: Records, knowledge: Knowledge, both: list[PastQueries], part: int
) -> None:
    past = both[part]
    for query, kind in zip(replay_queries(records, records, knowledge, past), past.kinds.tolist(), strict=True):
        question = query.question
        assert (question.anchor is not None) == (kind != Kind.USER)
        assert (len(question.user.items) > 0) == (kind != Kind.SIMILAR)
        assert query.target not in question.user.seen
    assert set(past.kinds.tolist()) == {0, 1, 2}


def test_training_repeats_to_the_bit_and_another_seed_gives_another_ranker(
    records: Records, parts: list[TrainingPart]
) -> None:
    texts = [train_on(records, parts, replace(SMALL, seed=seed)).text for seed in (42, 42, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_the_ranker_can_be_converted_to_bit_masks(engine: Engine) -> None:
    model = Ranker(engine.contents.ranker_text)._booster.dump_model()
    assert max(tree["num_leaves"] for tree in model["tree_info"]) <= 64

    def nodes(node: dict[str, object]) -> list[dict[str, object]]:
        if "split_feature" not in node:
            return []
        return [node, *nodes(node["left_child"]), *nodes(node["right_child"])]  # type: ignore[arg-type]

    splits = [node for tree in model["tree_info"] for node in nodes(tree["tree_structure"])]
    assert splits
    assert {(node["decision_type"], node["missing_type"]) for node in splits} == {("<=", "None")}


def test_without_a_target_among_the_candidates_there_is_nothing_to_learn(
    records: Records, knowledge: Knowledge
) -> None:
    nothing = PastQueries(np.empty(0, np.int64), np.empty(0, np.uint8))
    with pytest.raises(
        TrainingError,
        match=r"no training query has its target among the candidates: there are .* interactions .* training needs",
    ):
        train_on(records, [TrainingPart(nothing, knowledge)], SMALL)
    assert issubclass(TrainingError, PipelineError)


def test_training_on_equal_times_names_the_time_column(records: Records, knowledge: Knowledge) -> None:
    equal = replace(records, ts=np.full_like(records.ts, 1_760_000_000))
    with pytest.raises(TrainingError, match=r"all [0-9,]+ interactions have the same `ts`, 2025-10-09T08:53:20Z"):
        train_on(equal, [TrainingPart(each, knowledge) for each in training_queries(equal, SMALL)], SMALL)


def test_without_a_time_before_them_there_are_no_late_queries(records: Records) -> None:
    last, late = training_queries(replace(records, ts=np.full_like(records.ts, 1_760_000_000)), SMALL)
    assert len(last.rows) == 160
    assert not len(late.rows)
