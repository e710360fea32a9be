"""The evaluation: its split leaks nothing, its metrics follow their definitions, and the stack beats the baselines."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluate import AT_CUT, LEAVE_LAST_OUT, ROLLING, STACK, evaluate
from pipeline.evaluate.baselines import BASELINES, Asked, rank_baselines
from pipeline.evaluate.histories import histories_of
from pipeline.evaluate.metrics import Context, measure
from pipeline.evaluate.queries import QuerySet, ask_at_cut, ask_before
from pipeline.evaluate.split import CORE, five_core, global_split, leave_last_out
from pipeline.features.items import item_state
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.train import TrainSettings
from pipeline.train.queries import replay_moments
from ranking.bootstrap import intervals
from ranking.diversity import DiversitySettings
from ranking.recall import RecallSettings
from ranking.replay import Knowledge


def ranked(train: Records, queries: QuerySet) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Yield the lists of each simple model."""
    for name, (tops,) in rank_baselines(train, [Asked(queries, histories_of(queries, 42))], 42):
        yield name, tops


def test_in_the_core_users_and_datasets_have_five_of_each_other(records: Records) -> None:
    core, _ = five_core(records)
    pairs = {*zip(core.user.tolist(), core.item.tolist(), strict=True)}
    users = np.bincount([user for user, _ in pairs])
    items = np.bincount([item for _, item in pairs], minlength=len(core.catalogue))
    assert users[users > 0].min() >= CORE
    assert items.min() >= CORE


def test_the_core_keeps_each_dataset_under_its_id(records: Records) -> None:
    core, kept = five_core(records)
    np.testing.assert_array_equal(core.catalogue.ids, records.catalogue.ids[kept])
    assert core.catalogue.titles[3] == records.catalogue.titles[kept[3]]


def test_each_users_last_new_dataset_is_held_out_with_all_interactions_of_the_user(records: Records) -> None:
    core, _ = five_core(records)
    split = leave_last_out(core, 10_000, 42)
    train = split.train
    known = {*zip(train.user.tolist(), train.item.tolist(), strict=True)}
    users = core.user[split.test]
    assert len(users) == len(np.unique(core.user)) == len(np.unique(users))
    for row in split.test.tolist():
        user, item = int(core.user[row]), int(core.item[row])
        assert (user, item) not in known
        mine = core.rows_of(user)
        first_times = {int(core.item[r]): int(core.ts[r]) for r in mine[::-1].tolist()}
        assert first_times[item] == core.ts[row] == max(first_times.values())
    assert len(train) < len(core)


def test_a_large_test_is_cut_to_a_seeded_sample(records: Records) -> None:
    core, _ = five_core(records)
    whole, cut, again = (leave_last_out(core, most, 42) for most in (10_000, 50, 50))
    assert len(cut.test) == 50
    assert set(cut.test.tolist()) < set(whole.test.tolist())
    np.testing.assert_array_equal(cut.test, again.test)


def test_of_datasets_of_one_second_the_seed_holds_out_one(records: Records) -> None:
    core, _ = five_core(records)
    equal = replace(core, ts=np.full_like(core.ts, core.ts[0]))
    held = [leave_last_out(equal, 10_000, seed).test for seed in (42, 42, 1)]
    np.testing.assert_array_equal(held[0], held[1])
    assert (held[0] != held[2]).mean() > 0.5
    users = len(np.unique(core.user))
    # By number, it would be the last one of all users.
    last = [core.item[core.rows_of(int(user))].max() for user in core.user[held[0]]]
    assert len(held[0]) == users
    assert (core.item[held[0]] == last).mean() < 0.3


def test_datasets_that_the_user_took_in_the_querys_own_second_are_never_in_a_list(records: Records) -> None:
    core, _ = five_core(records)
    row = int(leave_last_out(core, 10_000, 42).test[-1])
    user = int(core.user[row])
    mine = core.rows_of(user)
    counts = np.bincount(core.item)
    counts[core.item[mine]] = 0
    popular = int(counts.argmax())
    other = mine[0] if mine[0] != row else mine[1]
    doubled = replace(
        core,
        item=np.where(np.arange(len(core)) == other, popular, core.item).astype(np.int32),
        ts=np.where(np.arange(len(core)) == other, core.ts[row], core.ts),
    )
    order = np.argsort(doubled.ts, kind="stable")
    both = replace(doubled, **{name: getattr(doubled, name)[order] for name in ("user", "item", "ts", "types")})
    rows = np.flatnonzero((both.user == user) & (both.item == core.item[row]))[:1]
    asked = ask_before(both, rows, both)
    assert asked.moments.hidden[0].tolist() == [popular]
    for name, tops in ranked(both, asked):
        assert popular not in tops[0], name
    items = item_state(core, 42).table
    tables = build_tables(both, content_neighbours(items.content), 42)
    ((_, candidates, _),) = replay_moments(both, Knowledge(tables, RecallSettings(), items), asked.moments)
    assert len(candidates.items)
    assert popular not in candidates.items


def test_the_global_split_tests_the_newest_fifth_on_a_model_of_the_rest(records: Records) -> None:
    core, _ = five_core(records)
    split = global_split(core)
    assert split.train.ts.max() < split.cut <= core.ts[split.test].min()
    interest = core.types != 0
    assert (core.ts[interest] >= split.cut).mean() == pytest.approx(0.2, abs=0.001)
    known = {*zip(split.train.user.tolist(), split.train.item.tolist(), strict=True)}
    tested = [*zip(core.user[split.test].tolist(), core.item[split.test].tolist(), strict=True)]
    assert len(tested) == len({*tested})
    assert not known & {*tested}


def test_at_the_cut_each_user_is_asked_once_about_all_new_datasets(records: Records) -> None:
    core, _ = five_core(records)
    split = global_split(core)
    users = np.unique(core.user[split.test]).astype(np.int64)
    asked = ask_at_cut(core, split, users)
    assert asked.moments.user.tolist() == users.tolist()
    assert set(asked.moments.at.tolist()) == {split.cut}
    for user, answers in zip(users.tolist(), asked.answers, strict=True):
        before = {int(core.item[row]) for row in core.rows_of(user, split.cut)}
        assert set(answers.tolist()) == {int(core.item[row]) for row in core.rows_of(user)} - before


def context(content: NDArray[np.float32], queries: int) -> Context:
    n = len(content)
    nothing = sparse.csr_array((queries, n), dtype=np.float32)
    return Context(content, np.zeros(n, np.float32), np.zeros((n, 1), np.float32), nothing)


def one_each(*targets: int) -> list[NDArray[np.int32]]:
    return [np.array([target], np.int32) for target in targets]


def test_metrics_of_lists_worked_out_by_hand() -> None:
    tops = np.array([[7, 1, 2], [1, 7, 2], [1, 2, -1], [3, 1, 2]], np.int32)
    content = np.zeros((10, 2), np.float32)
    content[[1, 2, 7]] = [[1, 0], [0.6, 0.8], [0, 1]]
    found = measure(tops, one_each(7, 7, 7, 9), context(content, 4)).means()
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3)) / 4)
    assert found["recall@10"] == 0.5
    assert found["mrr@50"] == found["map@10"] == (1 + 1 / 2) / 4
    assert found["coverage@10"] == pytest.approx(4 / 10)
    # Dataset 3 has no known content, so it is similar to none.
    three, two, unknown = (0.6 + 0.8) / 3, 0.6, 0.6 / 3
    assert found["similarity@10"] == pytest.approx((2 * three + two + unknown) / 4)


def test_metrics_of_several_right_answers_worked_out_by_hand() -> None:
    tops = np.full((1, 50), -1, np.int32)
    tops[0, :12] = np.arange(12)
    answers = [np.array([0, 2, 11, 77], np.int32)]
    found = measure(tops, answers, context(np.zeros((100, 1), np.float32), 1)).means()
    gains = 1 / np.log2(np.arange(2, 12))
    assert found["ndcg@10"] == pytest.approx((gains[0] + gains[2]) / gains[:4].sum())
    assert (found["recall@10"], found["recall@50"]) == (2 / 4, 3 / 4)
    assert found["map@10"] == pytest.approx((1 + 2 / 3) / 4)
    many = [np.arange(30, dtype=np.int32)]
    assert measure(tops, many, context(np.zeros((100, 1), np.float32), 1)).means()["ndcg@10"] == pytest.approx(1)


def test_novelty_and_calibration_worked_out_by_hand() -> None:
    tops = np.array([[0, 1, -1], [1, 1, -1]], np.int32)
    history = sparse.csr_array(np.array([[0, 0, 1], [0, 0, 1]], np.float32))
    surprise = np.array([1, 3, 9], np.float32)
    tags = np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32)
    found = measure(tops, one_each(0, 0), Context(np.zeros((3, 1), np.float32), surprise, tags, history))
    assert found.values["novelty@10"].tolist() == [2, 3]
    assert found.values["calibration@10"][0] == pytest.approx(0, abs=1e-9)
    # KL of (½, ½) from 0.99 · (0, 1) + 0.01 · (½, ½).
    expected = 0.5 * np.log2(0.5 / 0.005) + 0.5 * np.log2(0.5 / 0.995)
    assert found.values["calibration@10"][1] == pytest.approx(expected, rel=1e-5)


def test_a_pad_is_never_a_hit() -> None:
    tops = np.full((2, 10), -1, np.int32)
    assert measure(tops, one_each(0, 1), context(np.ones((5, 1), np.float32), 2)).means()["recall@10"] == 0.0


def test_the_interval_covers_the_mean_as_often_as_it_says_also_if_users_ask_often() -> None:
    rng = np.random.default_rng(5)
    user = np.repeat(np.arange(200, dtype=np.int32), 5)
    covered = 0
    for seed in range(60):
        values = np.repeat(rng.normal(size=200), 5)
        (found,) = intervals(values[:, None], user, seed)
        covered += found.low <= 0 <= found.high
    # Intervals over queries instead of users would be √5 times too narrow and cover 62 %.
    assert covered >= 50


def test_baselines_rank_exactly_the_unseen_datasets(records: Records) -> None:
    core, _ = five_core(records)
    split = leave_last_out(core, 40, 42)
    asked = ask_before(core, split.test, split.train)
    for name, tops in ranked(split.train, asked):
        for row, top in zip(split.test, tops.tolist(), strict=True):
            seen = {int(split.train.item[each]) for each in split.train.rows_of(int(core.user[row]))}
            assert not seen & {*top}, name
            unseen = len(core.catalogue) - len(seen)
            assert len({*top} - {-1}) == min(50, unseen)
            assert (-1 in top) == (unseen < 50)


def test_popularity_is_the_number_of_users(records: Records) -> None:
    core, _ = five_core(records)
    split = leave_last_out(core, 20, 42)
    asked = ask_before(core, split.test, split.train)
    tops = dict(ranked(split.train, asked))["popularity"]
    users = np.bincount(split.train.item[split.train.first_of_pair], minlength=len(core.catalogue))
    for top in tops:
        found = users[top[top >= 0]]
        assert (np.diff(found) <= 0).all()


def test_the_stack_beats_every_baseline_on_structured_data(records: Records) -> None:
    found = evaluate(
        records,
        item_state(records, 42).table,
        RecallSettings(),
        DiversitySettings(),
        TrainSettings(queries=800, trees=30),
    )
    for protocol in (LEAVE_LAST_OUT, AT_CUT, ROLLING):
        assert set(found.protocols[protocol].models) == {STACK, *BASELINES}
    ndcg = {name: result["ndcg@10"] for name, result in found.protocols[LEAVE_LAST_OUT].models.items()}
    assert ndcg[STACK] > max(ndcg["popularity"], ndcg["itemknn"], ndcg["ease"])
    assert ndcg["ease"] > ndcg["popularity"]


def test_data_without_a_core_is_not_evaluated_and_the_reason_is_named(records: Records) -> None:
    few = records.only(np.arange(len(records)) < 30)
    found = evaluate(few, item_state(records, 42).table, RecallSettings(), DiversitySettings(), TrainSettings())
    assert not found.protocols
    assert found.missing[LEAVE_LAST_OUT] == "no user and dataset have five interactions with each other"
    assert found.metrics() == {}
