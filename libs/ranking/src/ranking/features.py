"""The ranker's input, which is computed only here."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.features import CHANNELS, FEATURES, ITEM_FEATURES, SCORED_CHANNELS, USER_FEATURES, VOTING_CHANNELS
from ranking.forest import Columns
from ranking.jit import Fields, compiled
from ranking.lanes import four_sums, round_up_to_lanes
from ranking.own_columns import NO_CATEGORY, NO_COLUMNS, OwnColumns
from ranking.recall import Candidates
from ranking.user import User

_COLUMN = {feature.name: column for column, feature in enumerate(FEATURES)}
_ALL = len(FEATURES)
_ITEM = len(ITEM_FEATURES)  # these columns come first
_WIDTH = len(CHANNELS)
_CHANNELS = len(SCORED_CHANNELS)
_VOTED = len(VOTING_CHANNELS)
_VOTES = _COLUMN["vote_behavior"]
_SCORES = _COLUMN["score_behavior"]
_RANKS = _COLUMN["rank_behavior"]
_CHANNEL_COUNT = _COLUMN["channel_count"]
_USER = _COLUMN["user_interactions"]
_USERS = len(USER_FEATURES)
_SESSION = _COLUMN["user_idle_hours"]
_MEAN_PRICE = _COLUMN["user_mean_price"]
_USER_PRICE_GAP = _COLUMN["user_price_gap"]
_USER_AFFINITY = _COLUMN["user_content_affinity"]
_USER_PROVIDER = _COLUMN["user_provider_share"]
_RECENT_AFFINITY = _COLUMN["user_recent_affinity"]
# A gap is the item's column minus the user's.
_GAPS = tuple(
    (_COLUMN[f"{habit}_gap"], _COLUMN[item], _COLUMN[habit])
    for habit, item in (
        ("user_trend_1d", "item_popularity_1d"),
        ("user_trend_7d", "item_popularity_7d"),
        ("user_age", "item_age_days"),
        ("user_recent_trend_1d", "item_popularity_1d"),
        ("user_recent_age", "item_age_days"),
    )
)
_ANCHOR_SIMILARITY = _COLUMN["anchor_content_similarity"]
_ANCHOR_PRICE_GAP = _COLUMN["anchor_price_gap"]
_ANCHOR_PROVIDER = _COLUMN["anchor_same_provider"]


class ItemTable(NamedTuple):
    """The item data that doesn't change with time.

    `content` float32 [n, d] of unit (or zero) rows, `provider` int32 [n], `log_price` float32 [n]. `own` float32
    [n, o] are the declared columns of datasets, `own_defaults` float32 [u] the defaults of those of users, and
    `own_pairs` int32 [p, 3] as in `ranking.own_columns.OwnColumns.pairs`.
    """

    content: NDArray[np.float32]
    provider: NDArray[np.int32]
    log_price: NDArray[np.float32]
    own: NDArray[np.float32]
    own_defaults: NDArray[np.float32]
    own_pairs: NDArray[np.int32]

    def only(self, items: NDArray[np.int64]) -> "ItemTable":
        """Return the data of some items."""
        return self._replace(
            content=self.content[items],
            provider=self.provider[items],
            log_price=self.log_price[items],
            own=self.own[items],
        )


def item_table(
    content: NDArray[np.float32],
    provider: NDArray[np.int32],
    log_price: NDArray[np.float32],
    own: OwnColumns = NO_COLUMNS,
    own_rows: NDArray[np.float32] | None = None,
) -> ItemTable:
    """Return the data of n datasets; `own_rows` float32 [n, o] are the values of declared columns (None: without)."""
    rows = np.empty((len(provider), 0), np.float32) if own_rows is None else own_rows
    return ItemTable(content, provider, log_price, rows, own.user_defaults, own.pairs)


def log_prices(prices: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return `ItemTable.log_price` of a catalogue's prices."""
    return np.log1p(np.maximum(prices, 0)).astype(np.float32)


def feature_matrix(
    candidates: Candidates, item_rows: NDArray[np.float32], table: ItemTable, *, anchor: int | None, user: User
) -> NDArray[np.float32]:
    """Return float32 [m, columns] for `m` candidates: those of `FEATURES`, then the declared ones.

    `item_rows` float32 [m, len(ITEM_FEATURES)] are the candidates' item features: as of the time of the query in
    training, as of the bundle's time in serving.
    """
    places = np.arange(len(candidates.items), dtype=np.int32)
    return feature_columns(candidates, item_rows, places, table, anchor=anchor, user=user).matrix


def feature_columns(
    candidates: Candidates,
    item_rows: NDArray[np.float32],
    places: NDArray[np.int32],
    table: ItemTable,
    *,
    anchor: int | None,
    user: User,
) -> Columns:
    """Return the features as columns; `places` [m] are the candidates' rows in `item_rows`."""
    known = (item_rows, places, tuple(table))
    values = fill_features(tuple(candidates), known, tuple(user), -1 if anchor is None else anchor)
    return Columns(values, len(candidates.items))


@compiled
def fill_features(candidates: Fields, known: Fields, user: Fields, anchor: int) -> NDArray[np.float32]:
    """Compiled part of `feature_columns`, of `Candidates`, what is known of items, and a `User`; `anchor` -1 is none.

    `known` are the item features, the candidates' rows in them, and an `ItemTable`.
    """
    items, scores, ranks, votes = Candidates(*candidates)
    item_rows, places, fields = known
    table, asking = ItemTable(*fields), User(*user)
    rows = len(items)
    width = _ALL + table.own.shape[1] + len(table.own_defaults) + len(table.own_pairs)
    columns = np.empty((width, round_up_to_lanes(rows)), np.float32)
    # Row by row: gathering by column would read every row's cache line once per column.
    for row in range(rows):
        place = np.uint32(places[row])
        for feature in range(_ITEM):
            columns[feature, row] = item_rows[place, feature]
    _transpose_votes(columns, votes.reshape(votes.size), rows)
    _transpose_channels(columns, scores.reshape(scores.size), ranks.reshape(ranks.size), rows)
    for feature in range(_USERS):
        columns[_USER + feature] = asking.features[feature]
    for feature in range(len(asking.session)):
        columns[_SESSION + feature] = asking.session[feature]
    _relate_to_user(columns, items, table, asking)
    _fill_gaps(columns, rows)
    if width > _ALL:
        _fill_own(columns, items, table, asking.features)
    if anchor < 0:
        columns[_ANCHOR_SIMILARITY] = columns[_ANCHOR_PRICE_GAP] = columns[_ANCHOR_PROVIDER] = 0.0
    else:
        for row in range(rows):
            item = items[row]
            columns[_ANCHOR_SIMILARITY, row] = _dot(table.content, item, table.content, anchor)
            columns[_ANCHOR_PRICE_GAP, row] = table.log_price[item] - table.log_price[anchor]
            columns[_ANCHOR_PROVIDER, row] = table.provider[item] == table.provider[anchor]
    return columns


@compiled
def _transpose_votes(columns: NDArray[np.float32], votes: NDArray[np.float32], rows: int) -> None:
    """Fill the columns of the votes; see `_transpose_channels`."""
    for row in range(rows):
        for channel in range(_VOTED):
            columns[_VOTES + channel, row] = votes[row * _VOTED + channel]


@compiled
def _transpose_channels(
    columns: NDArray[np.float32], scores: NDArray[np.float32], ranks: NDArray[np.float32], rows: int
) -> None:
    """Fill the columns of the channels. Their number is a constant here, so LLVM transposes 16 rows at once."""
    for row in range(rows):
        for channel in range(_CHANNELS):
            columns[_SCORES + channel, row] = scores[row * _WIDTH + channel]
    for row in range(rows):
        count = np.float32(0.0)
        for channel in range(_CHANNELS):
            rank = ranks[row * _WIDTH + channel]
            columns[_RANKS + channel, row] = rank
            count += np.float32(rank > 0)
        columns[_CHANNEL_COUNT, row] = count


@compiled
def _relate_to_user(columns: NDArray[np.float32], items: NDArray[np.int32], table: ItemTable, user: User) -> None:
    """Fill the columns that relate a candidate to the user's history."""
    content, provider, log_price = table[:3]
    history, weights = user.items, user.weights
    taste = _tastes(content, user)
    providers = np.empty(len(history), np.int32)
    shares = np.zeros(len(history), np.float32)
    known = 0
    for number in range(len(history)):
        item, weight = history[number], weights[number]
        place = 0
        while place < known and providers[place] != provider[item]:
            place += 1
        if place == known:
            providers[place] = provider[item]
            known += 1
        shares[place] += weight
    mean_price = columns[_MEAN_PRICE, 0] if len(items) else np.float32(0.0)
    priced = len(history) > 0 and mean_price > 0
    theirs = np.empty(len(items), np.int32)
    for row in range(len(items)):
        item = items[row]
        columns[_USER_PRICE_GAP, row] = log_price[item] - mean_price if priced else np.float32(0.0)
        columns[_USER_AFFINITY, row] = _dot(content, item, taste, 0)
        columns[_RECENT_AFFINITY, row] = _dot(content, item, taste, 1)
        theirs[row] = provider[item]
    columns[_USER_PROVIDER] = 0.0
    for place in range(known):
        known_provider, share = providers[place], shares[place]
        for row in range(len(items)):
            columns[_USER_PROVIDER, row] = share if theirs[row] == known_provider else columns[_USER_PROVIDER, row]


@compiled
def _tastes(content: NDArray[np.float32], user: User) -> NDArray[np.float32]:
    """Return the mean content of a user's history, float32 [2, d]: by its weights, and by the recent ones."""
    tastes = np.zeros((2, content.shape[1]), np.float32)
    for number in range(len(user.weights)):
        for dimension in range(tastes.shape[1]):
            tastes[0, dimension] += user.weights[number] * content[user.items[number], dimension]
    for number in range(len(user.recent)):
        for dimension in range(tastes.shape[1]):
            tastes[1, dimension] += user.recent[number] * content[user.items[number], dimension]
    return tastes


@compiled
def _fill_gaps(columns: NDArray[np.float32], rows: int) -> None:
    """Fill the columns that are an item's value minus the user's."""
    for number in range(len(_GAPS)):
        gap, item, user = _GAPS[number]
        for row in range(rows):
            columns[gap, row] = columns[item, row] - columns[user, row]


@compiled
def _fill_own(
    columns: NDArray[np.float32], items: NDArray[np.int32], table: ItemTable, features: NDArray[np.float32]
) -> None:
    """Fill the declared columns of the items and of the user, and those that relate both."""
    datasets = table.own.shape[1]
    user = table.own_defaults.copy()
    for column in range(min(len(user), len(features) - _USERS)):
        user[column] = features[_USERS + column]
    for row in range(len(items)):
        for column in range(datasets):
            columns[_ALL + column, row] = table.own[items[row], column]
    for column in range(len(user)):
        columns[_ALL + datasets + column] = user[column]
    for number in range(len(table.own_pairs)):
        pair = _ALL + datasets + len(user) + number
        item, other = _ALL + table.own_pairs[number, 0], user[table.own_pairs[number, 1]]
        if table.own_pairs[number, 2]:
            for row in range(len(items)):
                columns[pair, row] = (columns[item, row] == other) & (other > NO_CATEGORY)
        else:
            for row in range(len(items)):
                columns[pair, row] = columns[item, row] - other


@compiled
def _dot(left: NDArray[np.float32], row: int, right: NDArray[np.float32], other: int) -> np.float32:
    """Return left[row] · right[other].

    Summed in four lanes, always in the same order: a BLAS chooses its order by CPU and number of rows. The arguments
    are row numbers, because creating a view of a row and counting its references costs more than the sum.
    """
    width = left.shape[1]
    whole = width // 4 * 4
    a, b, c, d = four_sums(left, row * width, right, other * width, whole)
    for rest in range(whole, width):
        a += left[row, rest] * right[other, rest]
    product: np.float32 = (a + b) + (c + d)
    return product
