"""Makes the evaluation part: queries after the cut of the global split, and the model that was trained before it.

The model is the one that the global split has measured, so the part costs no training. Past `MAX_DATASETS` datasets,
only those with the most users before the cut are in it, and queries about others are left out.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURE_SCHEMA, USER_FEATURES
from pipeline.evaluate.split import GlobalSplit, sample_rows
from pipeline.records import Records
from pipeline.train.lambdamart import KIND_SHARES
from pipeline.train.model import Model
from pipeline.train.queries import PastQueries, moments_of
from ranking.diversity import DiversitySettings
from ranking.evaluation import EvaluationPart, HeldOutQueries, PartManifest, RankingModel, align, write_part
from ranking.evaluation.part import MAX_BYTES, MAX_HISTORY, ItemData
from ranking.features import ItemTable
from ranking.own_columns import NO_COLUMNS, OwnColumns
from ranking.recall import RecallSettings

PART = "evaluation.zip"
# Written instead if there is no query, with the reason.
MISSING = "missing.txt"
# Bounds of the file: at all three of them it has 4.9 MB. It is seldom made smaller, because a twin with fewer datasets
# than another is at a disadvantage.
MAX_QUERIES = 8000
MAX_ACTIVITY = 200_000
MAX_DATASETS = 2100
_SMALLER = 0.8
_log = logging.getLogger(__name__)


class NoQueriesError(ValueError):
    """There is no query after the cut; the message says why."""


class Holdout(NamedTuple):
    """The 5-core's records, their split, the data of its datasets, and the model that was trained before the cut."""

    core: Records
    split: GlobalSplit
    items: ItemTable
    model: Model


class PartSettings(NamedTuple):
    """What else a part says of its model: how it ranks, and whose it is. `seed` samples the queries.

    `own` are the declared columns.
    """

    recall: RecallSettings
    diversity: DiversitySettings
    seed: int
    name: str
    run_id: str
    own: OwnColumns = NO_COLUMNS


def write_evaluation_part(
    holdout: Holdout, settings: PartSettings, folder: Path, *, most_bytes: int = MAX_BYTES
) -> EvaluationPart:
    """Write `evaluation.zip` of at most `most_bytes` below `folder`; raises `NoQueriesError`."""
    most = MAX_DATASETS
    while True:
        part = build_part(holdout, settings, most)
        size = write_part(part, folder / PART)
        if size <= most_bytes:
            _log.info("evaluation part: %s queries, %.1f MB", f"{len(part.queries):,}", size / 1e6)
            return part
        most = int(min(most, part.manifest.datasets) * _SMALLER)


def build_part(holdout: Holdout, settings: PartSettings, most_datasets: int = MAX_DATASETS) -> EvaluationPart:
    """Return the part with at most so many datasets; raises `NoQueriesError`."""
    core, split, items, model = holdout
    kept = _most_active(split.train, most_datasets)
    place = np.full(len(core.catalogue), -1, np.int32)
    place[kept] = np.arange(len(kept))
    asked = split.test[split.of_known(core)]
    usable = asked[(place[core.item[asked]] >= 0) & (core.ts[asked] <= _last_moment(core, split, place))]
    if not len(usable):
        raise NoQueriesError("no user who was known before the cut turned to a new dataset after it")
    rows = sample_rows(usable, MAX_QUERIES, settings.seed)
    twin = RankingModel(
        core.catalogue.ids,
        items.content,
        model.tables,
        settings.recall,
        settings.diversity,
        model.order.text,
        split.train.last,
        settings.own,
        items.own,
    )
    data = _item_data(core, split, items, kept, place, until=int(core.ts[rows[-1]]))
    manifest = PartManifest(
        name=settings.name,
        run_id=settings.run_id,
        cut=datetime.fromtimestamp(split.cut, UTC),
        trained_until=datetime.fromtimestamp(split.train.last, UTC),
        feature_schema=FEATURE_SCHEMA,
        datasets=len(kept),
        queries=len(rows),
        queries_after_cut=len(asked),
        share=float((place[core.item[asked]] >= 0).mean()),
        origin=data.at_cut.origin,
        recall=settings.recall,
        diversity=settings.diversity,
    )
    ids = core.catalogue.ids[kept]
    return EvaluationPart(manifest, align(twin, ids), data, _past_queries(core, rows, place, settings.seed))


def _most_active(train: Records, most: int) -> NDArray[np.int64]:
    """Return the ascending positions of the datasets with the most users; of equal ones those of lower positions."""
    users = np.bincount(train.item[train.first_of_pair], minlength=len(train.catalogue))
    return np.sort(np.argsort(-users, kind="stable")[:most])


def _last_moment(core: Records, split: GlobalSplit, place: NDArray[np.int32]) -> int:
    """Return the last time of a query: until then there are `MAX_ACTIVITY` interactions with the part's datasets."""
    later = core.ts[(core.ts >= split.cut) & (place[core.item] >= 0)]
    return int(later[MAX_ACTIVITY]) if len(later) > MAX_ACTIVITY else core.end


def _item_data(
    core: Records,
    split: GlobalSplit,
    items: ItemTable,
    kept: NDArray[np.int64],
    place: NDArray[np.int32],
    *,
    until: int,
) -> ItemData:
    stats = core.new_stats()
    stats.add(split.train.item, split.train.ts, split.train.types)
    after = (core.ts >= split.cut) & (core.ts < until) & (place[core.item] >= 0)
    return ItemData(
        core.created_at[kept],
        core.catalogue.prices[kept],
        items.provider[kept],
        stats.state().only(kept),
        place[core.item[after]],
        core.ts[after],
        core.types[after],
    )


def _past_queries(core: Records, rows: NDArray[np.int64], place: NDArray[np.int32], seed: int) -> HeldOutQueries:
    rng = np.random.default_rng(seed)
    kinds = rng.choice(np.array(list(KIND_SHARES), np.uint8), len(rows), p=list(KIND_SHARES.values()))
    features = np.empty((len(rows), len(USER_FEATURES) + core.own_users.shape[1]), np.float32)
    history: list[NDArray[np.int32]] = []
    ages: list[NDArray[np.int64]] = []
    types: list[NDArray[np.uint8]] = []
    for number, row in enumerate(rows):
        at = int(core.ts[row])
        mine = core.rows_of(int(core.user[row]), at)
        known = core.history(mine)
        positions = place[core.catalogue.positions(known.ids)]
        recent = np.flatnonzero(positions >= 0)[:MAX_HISTORY]
        features[number] = core.features_of(int(core.user[row]), mine)
        history.append(positions[recent])
        ages.append(at - known.ts[recent])
        types.append(known.types[recent])
    own_second = (place[items] for items in moments_of(core, PastQueries(rows, kinds)).hidden)
    hidden = [items[items >= 0] for items in own_second]
    _, first, user = np.unique(core.user[rows], return_index=True, return_inverse=True)
    return HeldOutQueries(
        core.ts[rows],
        # In the order of the first query: users' own order would be that of their ids.
        np.argsort(np.argsort(first))[user].astype(np.int32),
        kinds,
        features,
        place[core.item[rows]],
        np.array([len(each) for each in history], np.int64),
        np.concatenate(history),
        np.concatenate(ages),
        np.concatenate(types),
        np.array([len(each) for each in hidden], np.int64),
        np.concatenate(hidden),
    )
