"""A model that queries of the past can be scored with: the twin of an evaluation part, or a bundle."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from contracts.bundle import BundleManifest
from contracts.features import USER_FEATURES, Feature
from ranking.bundle import BundleContents
from ranking.diversity import DiversitySettings
from ranking.own_columns import OwnColumns
from ranking.recall import NO_POPULAR, Neighbours, RecallSettings, RecallTables


@dataclass(frozen=True)
class RankingModel:
    """What training made, over n datasets by ascending `ids` int64 [n]; the tables have no popular list.

    `content` float32 [n, d] are unit (or zero) rows, `own_rows` float32 [n, o] the declared columns of datasets.
    `trained_until` is the time of the newest interaction that training saw, Unix seconds.
    """

    ids: NDArray[np.int64]
    content: NDArray[np.float32]
    tables: RecallTables
    recall: RecallSettings
    diversity: DiversitySettings
    ranker_text: str
    trained_until: int
    own: OwnColumns
    own_rows: NDArray[np.float32]

    @property
    def user_features(self) -> tuple[Feature, ...]:
        """The long-term features of a user that the ranker reads, in their order."""
        return (*USER_FEATURES, *self.own.user_features)


def model_of_bundle(contents: BundleContents, manifest: BundleManifest) -> RankingModel:
    """Return the model of a bundle.

    A bundle of an earlier release doesn't say `trained_until`: its data ends a second after its newest interaction.
    """
    until = manifest.trained_until or manifest.data_window.end - timedelta(seconds=1)
    return RankingModel(
        contents.catalogue.ids,
        contents.table.content,
        replace(contents.recall, popular=NO_POPULAR, popular_30d=NO_POPULAR),
        contents.recall_settings,
        contents.diversity,
        contents.ranker_text,
        int(until.timestamp()),
        contents.own,
        contents.table.own,
    )


def align(model: RankingModel, ids: NDArray[np.int64]) -> RankingModel:
    """Return the model over other datasets, by ascending `ids` [m]: only these are in its tables.

    A dataset that the model doesn't know has no neighbours, a zero content row, and the defaults of declared columns.
    """
    if np.array_equal(model.ids, ids):
        return model
    rows = _positions(model.ids, ids)
    place = _positions(ids, model.ids)
    content = np.where((rows >= 0)[:, None], model.content[np.maximum(rows, 0)], np.float32(0))
    defaults = np.array([column.default for column in model.own.datasets], np.float32)
    own_rows = np.where((rows >= 0)[:, None], model.own_rows[np.maximum(rows, 0)], defaults)
    tables = model.tables
    behavior, near, vector, transition = (
        _align_neighbours(table, rows, place)
        for table in (tables.behavior, tables.content, tables.vector, tables.transition)
    )
    aligned = RecallTables(behavior, near, vector, transition)
    return replace(model, ids=ids, content=content, tables=aligned, own_rows=own_rows)


def _positions(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return where each wanted id is among the ascending ids, -1 if it isn't."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int32)
    slots = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[slots] == wanted, slots, -1).astype(np.int32)


def _align_neighbours(table: Neighbours, rows: NDArray[np.int32], place: NDArray[np.int32]) -> Neighbours:
    known = (rows >= 0)[:, None]
    items = np.where(known, table.items[np.maximum(rows, 0)], -1)
    items = np.where(items >= 0, place[np.maximum(items, 0)], -1).astype(np.int32)
    scores = np.where(items >= 0, table.scores[np.maximum(rows, 0)], np.float32(0))
    # Those that stay move to the front, in their order.
    order = np.argsort(items < 0, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1))
