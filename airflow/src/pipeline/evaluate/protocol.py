"""The evaluation protocols.

Data    5-core: users and datasets with at least five of each other, found by pruning to a fixed point.
Splits  *Leave last out*: each user's last *new* dataset is the target, and all of the user's interactions with it are
        held out; those of other users stay. The seed decides between datasets of one second.
        *Global split*: the newest 20 % of the interactions are the test; everything is made from the others.
        *At the cut* asks each known user who comes back once, at the cut; right are all their new datasets after it.
        *Rolling* asks just before each later new dataset of a known user.
Time    A query knows the interactions of the known part that are strictly earlier than its moment: item statistics,
        popular list, the user's history. Held-out interactions, also those of other users, are never in them. Tables
        and ranker are made once from the training part, like the baselines.
Ranker  Trained within the training part on each user's last datasets there, with tables that don't contain them; the
        order is chosen there, too (`pipeline.train.order`), so its score here is that of the whole procedure.
Ranked  All datasets of the 5-core except those the user has seen, and those the user took in the query's own second.
        A target that recall doesn't propose is missed.
Kinds   Means are over `/recommend/user`. A sample of the queries is also asked as `/recommend/detail` and `/similar`
        would get it, about the user's dataset before; in the rolling split also a sample of users unknown at the cut.
Metrics `pipeline.evaluate.metrics`; intervals by bootstrap over users.
"""

import logging
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from contracts.features import CHANNELS
from pipeline.evaluate.baselines import Asked, active_columns, rank_baselines
from pipeline.evaluate.histories import Histories, histories_of
from pipeline.evaluate.metrics import Context, Measured, measure
from pipeline.evaluate.part import Holdout
from pipeline.evaluate.queries import QuerySet, ask_at_cut, ask_before, join_queries
from pipeline.evaluate.results import (
    AT_CUT,
    LEAVE_LAST_OUT,
    ROLLING,
    STACK,
    Evaluation,
    EvaluationSettings,
    ProtocolResult,
)
from pipeline.evaluate.segments import segments_of
from pipeline.evaluate.split import five_core, global_split, leave_last_out, sample_rows
from pipeline.evaluate.stack import ANY_CHANNEL, rank_stack
from pipeline.recall import content_neighbours, own_neighbours
from pipeline.records import Records
from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.model import Model, train_model
from ranking.bootstrap import intervals
from ranking.diversity import DiversitySettings
from ranking.features import ItemTable
from ranking.ranker import Ranker
from ranking.recall import Neighbours, RecallSettings
from ranking.replay import Kind, Knowledge

MAX_OF_A_GROUP = 1000
_MAIN, _DETAIL, _SIMILAR, _COLD_USERS = "user", "detail", "similar", "cold_users"
_MAX_TAGS = 200
_log = logging.getLogger(__name__)


class Stack(NamedTuple):
    """All settings of the stack, and the data of the core's datasets."""

    items: ItemTable
    content: Neighbours
    vector: Neighbours | None
    recall: RecallSettings
    diversity: DiversitySettings
    training: TrainSettings
    evaluation: EvaluationSettings


def evaluate(
    records: Records,
    items: ItemTable,
    recall: RecallSettings,
    diversity: DiversitySettings,
    settings: TrainSettings,
    *,
    evaluation: EvaluationSettings = EvaluationSettings(),
    own_vectors: NDArray[np.float32] | None = None,
) -> Evaluation:
    """Measure the stack and the baselines by each protocol that has queries and a model; others are missing.

    `own_vectors` [n, d] are of all datasets.
    """
    core, kept = five_core(records)
    table = items.only(kept)
    vector = None if own_vectors is None else own_neighbours(own_vectors[kept])
    stack = Stack(table, content_neighbours(table.content), vector, recall, diversity, settings, evaluation)
    protocols: dict[str, ProtocolResult] = {}
    missing: dict[str, str] = {}
    holdout: Holdout | None = None
    for names, measure_split, is_chosen in (
        ((LEAVE_LAST_OUT,), _measure_last_out, True),
        ((AT_CUT, ROLLING), _measure_global, evaluation.global_split),
    ):
        if not is_chosen:
            missing |= dict.fromkeys(names, _SWITCHED_OFF)
            continue
        try:
            found, used = measure_split(core, stack)
        except TrainingError as error:
            missing |= dict.fromkeys(names, str(error))
            continue
        protocols |= found
        holdout = used or holdout
        missing |= {name: _NO_QUERY[name] for name in names if name not in found}
    return Evaluation(protocols, missing, _outside(records, core), holdout)


_SWITCHED_OFF = "switched off by evaluation.global_split in PIPELINE_CONFIG"
_NO_QUERY = {
    LEAVE_LAST_OUT: "no user and dataset have five interactions with each other",
    AT_CUT: "no user of the older 80 % of the interactions turned to a new dataset in the newest 20 %",
    ROLLING: "no user of the older 80 % of the interactions turned to a new dataset in the newest 20 %",
}


_MeasuredSplit = tuple[dict[str, ProtocolResult], Holdout | None]


def _measure_last_out(core: Records, stack: Stack) -> _MeasuredSplit:
    seed = stack.training.seed
    split = leave_last_out(core, stack.evaluation.queries, seed)
    if not len(split.test):
        return {}, None
    model = _train(split.train, stack)
    main = ask_before(core, split.test, split.train)
    few = main.only(sample_rows(np.arange(len(main)), MAX_OF_A_GROUP, seed))
    groups = {_MAIN: main, _DETAIL: few.of_kind(Kind.DETAIL), _SIMILAR: few.of_kind(Kind.SIMILAR)}
    return _measure(split.train, {LEAVE_LAST_OUT: groups}, model, stack), None


def _measure_global(core: Records, stack: Stack) -> _MeasuredSplit:
    seed = stack.training.seed
    split = global_split(core)
    of_known = split.of_known(core)
    if not of_known.any():
        return {}, None
    model = _train(split.train, stack)
    users = sample_rows(np.unique(core.user[split.test[of_known]]).astype(np.int64), stack.evaluation.queries, seed)
    at_cut = {_MAIN: ask_at_cut(core, split, users)}
    rolling = {_MAIN: ask_before(core, sample_rows(split.test[of_known], stack.evaluation.queries, seed), core)}
    if not of_known.all():
        rows = sample_rows(split.test[~of_known], MAX_OF_A_GROUP, seed)
        rolling[_COLD_USERS] = ask_before(core, rows, core)
    found = _measure(split.train, {AT_CUT: at_cut, ROLLING: rolling}, model, stack)
    return found, Holdout(core, split, stack.items, model)


def _train(train: Records, stack: Stack) -> Model:
    return train_model(train, stack.content, stack.items, stack.recall, stack.training, vector=stack.vector)


def _measure(
    train: Records, protocols: dict[str, dict[str, QuerySet]], model: Model, stack: Stack
) -> dict[str, ProtocolResult]:
    """Measure protocols of one training part, for which the simple models are made once."""
    seed = stack.training.seed
    joined = {protocol: join_queries(groups) for protocol, groups in protocols.items()}
    asked = [Asked(queries, histories_of(queries, seed)) for queries, _ in joined.values()]
    baselines = dict(rank_baselines(train, asked, seed)) if stack.evaluation.baselines else {}
    return {
        protocol: _measure_protocol(
            protocol,
            _Queries(*asked[number], joined[protocol][1], {name: tops[number] for name, tops in baselines.items()}),
            train,
            model,
            stack,
        )
        for number, protocol in enumerate(protocols)
    }


class _Queries(NamedTuple):
    """A protocol's queries with what they know, the group of each, and the lists of the simple models by name."""

    queries: QuerySet
    histories: Histories
    group: NDArray[np.str_]
    baselines: dict[str, NDArray[np.int32]]


def _measure_protocol(protocol: str, asked: _Queries, train: Records, model: Model, stack: Stack) -> ProtocolResult:
    queries, histories, group, baselines = asked
    seed = stack.training.seed
    context = _context(train, stack, histories.weighted(np.ones(len(histories.query))))
    lists = rank_stack(
        queries,
        Knowledge(model.tables, model.recall, stack.items),
        Ranker(model.order.text, stack.training.own_features),
        stack.diversity,
        stack.training.threads,
    )
    tops = {STACK: lists.tops, **baselines}
    measured = {
        name: {
            model: _measure_rows(np.flatnonzero(group == name), found, queries, context)
            for model, found in tops.items()
        }
        for name in dict.fromkeys(group.tolist())
    }
    for name, found in measured[_MAIN].items():
        _log.info("%s, %s: ndcg@10 %.4f", protocol, name, found.values["ndcg@10"].mean())
    main = np.flatnonzero(group == _MAIN)
    users = queries.moments.user[main]
    ndcg = {name: found.values["ndcg@10"] for name, found in measured[_MAIN].items()}
    ahead = {name: ndcg[STACK] - values for name, values in ndcg.items() if name != STACK}
    ranges = intervals(np.column_stack([*ndcg.values(), *ahead.values()]), users, seed)
    lengths = np.bincount(histories.query, minlength=len(queries))[main]
    return ProtocolResult(
        queries=len(main),
        users=len(np.unique(users)),
        datasets=len(train.catalogue),
        order=model.order.name,
        baseline_share=active_columns(train)[1],
        models={name: found.means() for name, found in measured[_MAIN].items()},
        ndcg=dict(zip(ndcg, ranges, strict=False)),
        differences=dict(zip(ahead, ranges[len(ndcg) :], strict=True)),
        channels=dict(zip((*CHANNELS, ANY_CHANNEL), lists.recalled[main].mean(axis=0).tolist(), strict=True)),
        groups={
            name: {"queries": len(next(iter(found.values())).values["ndcg@10"]), **_mean_ndcg(found)}
            for name, found in measured.items()
            if name != _MAIN
        },
        segments={
            division: {
                segment: {
                    "queries": int(mask.sum()),
                    **{name: float(values[mask].mean()) for name, values in ndcg.items()},
                }
                for segment, mask in parts.items()
            }
            for division, parts in segments_of(queries.only(main), lengths, train).items()
        },
    )


def _measure_rows(rows: NDArray[np.int64], tops: NDArray[np.int32], queries: QuerySet, context: Context) -> Measured:
    histories = sparse.csr_array(context.histories[rows])
    return measure(tops[rows], [queries.answers[row] for row in rows], replace(context, histories=histories))


def _mean_ndcg(measured: dict[str, Measured]) -> dict[str, float]:
    return {name: float(found.values["ndcg@10"].mean()) for name, found in measured.items()}


def _context(train: Records, stack: Stack, histories: sparse.csr_array) -> Context:
    rows = train.first_of_pair
    counts = np.bincount(train.item[rows], minlength=len(train.catalogue))
    users = max(1, len(np.unique(train.user[rows])))
    # A dataset without users is as surprising as one with half a user.
    surprise = -np.log2(np.maximum(counts, 0.5) / users)
    return Context(stack.items.content, surprise.astype(np.float32), _tag_shares(train), histories)


def _tag_shares(records: Records) -> NDArray[np.float32]:
    """Return float32 [n, tags]: each dataset's most frequent tags of the catalogue in equal shares."""
    tags = records.catalogue.tags
    frequent = [tag for tag, _ in Counter(tag for each in tags for tag in dict.fromkeys(each)).most_common(_MAX_TAGS)]
    column = {tag: number for number, tag in enumerate(frequent)}
    shares = np.zeros((len(tags), max(1, len(frequent))), np.float32)
    for row, each in enumerate(tags):
        own = [column[tag] for tag in dict.fromkeys(each) if tag in column]
        shares[row, own] = 1.0 / max(1, len(own))
    return shares


def _outside(records: Records, core: Records) -> dict[str, float]:
    """Return the shares of users, datasets and pairs that the 5-core leaves out."""
    everything, inside = records.first_of_pair, core.first_of_pair
    shares = {
        "users": (len(np.unique(records.user[everything])), len(np.unique(core.user[inside]))),
        "datasets": (len(records.catalogue), len(core.catalogue)),
        "pairs": (len(everything), len(inside)),
    }
    return {name: 1 - part / max(1, whole) for name, (whole, part) in shares.items()}
