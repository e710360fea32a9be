"""The seeded generator: users, datasets, and the views, favourites and purchases of 90 days or another time.

A model can find this structure:
- each user is interested in a few of the 50 niches, and slowly moves from an older to a newer set of them (drift);
- within a niche popularity has a long tail, and each dataset has its days: it is new, or has a burst (trend);
- users of three budgets prefer cheap, medium or expensive datasets (price sensitivity);
- views lead to favourites and purchases, more often if the price fits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.business.content import INTERACTIONS, Content
from pipeline.demo.catalogue import Shelf, make_datasets, make_users
from pipeline.demo.vocabulary import TOPICS
from pipeline.errors import InputError

COLD_DATASETS = 3
_DAY = 86_400
_PERIODS_A_DAY = 2
_NICHES = sum(len(niches) for niches in TOPICS.values())
_NICHES_OF_A_USER = 4
_PURSES = 3
_EPOCH = date(1970, 1, 1)
_VIEW, _FAVORITE, _PURCHASE = 0, 1, 2
_TYPES = np.array(["view", "favorite", "purchase"])


@dataclass(frozen=True)
class DemoSize:
    """The size of the marketplace."""

    datasets: int = 2_000
    users: int = 5_000
    interactions: int = 200_000
    days: int = 90

    @property
    def seconds(self) -> int:
        """The length of the window."""
        return self.days * _DAY


@dataclass(frozen=True)
class _Views:
    """Columns of equal length: the user, dataset and time of each view (seconds since the start)."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    second: NDArray[np.int64]


def generate(size: DemoSize, seed: int, end: datetime, is_rest_day: Callable[[date], bool] | None = None) -> Content:
    """Return a marketplace whose days end at `end`; raises `InputError` if the size is too small for structure.

    It is quieter at night and on rest days (UTC); without `is_rest_day`, the first five days of each seven are busy.
    """
    if size.datasets < 100 or size.users < 50 or size.interactions < 1000:
        raise InputError("demo data needs at least 100 datasets, 50 users and 1,000 interactions")
    rng = np.random.default_rng(seed)
    start = int(end.timestamp()) - size.seconds
    shelf = make_datasets(rng, size.datasets, start, size.seconds, COLD_DATASETS)
    purse = rng.integers(0, _PURSES, size.users)
    weight = _weekly(size.days) if is_rest_day is None else _by_calendar(size.days, start, is_rest_day)
    views = _views(rng, shelf, purse, size, weight)
    interactions = _with_consequences(rng, views, shelf, purse, size)
    return Content(
        make_users(rng, size.users, start),
        shelf.table,
        _table(interactions, shelf, start),
    )


def _views(
    rng: np.random.Generator,
    shelf: Shelf,
    purse: NDArray[np.int64],
    size: DemoSize,
    weight: NDArray[np.float64],
) -> _Views:
    count = size.interactions
    activity = rng.pareto(1.6, size.users) + 0.3
    user = rng.choice(size.users, count, p=activity / activity.sum())
    second = _moments(rng, count, weight)
    niche = _niches(rng, user, second / size.seconds, size.users)
    period = second * _PERIODS_A_DAY // _DAY
    item = _pick_items(rng, shelf, niche * _PURSES + purse[user], period, size.days * _PERIODS_A_DAY)
    known = item >= 0
    return _Views(user[known], item[known], second[known])


def _weekly(days: int) -> NDArray[np.float64]:
    """Return the weight of each hour; the marketplace grows, and is quieter at night and on two days of each seven."""
    hours = np.arange(days * 24)
    weight = (1 + hours / len(hours)) * _by_hour(hours)
    weekly: NDArray[np.float64] = weight * np.where(hours // 24 % 7 >= 5, 0.5, 1.0)
    return weekly


def _by_calendar(days: int, start: int, is_rest_day: Callable[[date], bool]) -> NDArray[np.float64]:
    """Return the same for the real hours of day and rest days of the window."""
    hours = np.arange(days * 24)
    clock = start // 3600 + hours
    day = clock // 24
    rests = {int(number): is_rest_day(_EPOCH + timedelta(days=int(number))) for number in np.unique(day)}
    weight = (1 + hours / len(hours)) * _by_hour(clock)
    by_calendar: NDArray[np.float64] = weight * np.where([rests[int(number)] for number in day], 0.5, 1.0)
    return by_calendar


def _by_hour(hours: NDArray[np.int64]) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = 1.2 + np.sin((hours % 24 - 8) / 24 * 2 * np.pi)
    return weight


def _moments(rng: np.random.Generator, count: int, weight: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw times by the weights of the hours."""
    chosen = rng.choice(len(weight), count, p=weight / weight.sum())
    return np.sort(chosen * 3600 + rng.integers(0, 3600, count))


def _niches(
    rng: np.random.Generator, user: NDArray[np.int64], progress: NDArray[np.float64], users: int
) -> NDArray[np.int64]:
    """Draw a niche for each view: from the user's older interests early on, from the newer ones later."""
    tastes = rng.integers(0, _NICHES, (users, 2 * _NICHES_OF_A_USER))
    shares = np.cumsum(rng.dirichlet(np.full(_NICHES_OF_A_USER, 0.6), users), axis=1)
    slot = (rng.random(len(user))[:, None] > shares[user]).sum(axis=1).clip(max=_NICHES_OF_A_USER - 1)
    newer = rng.random(len(user)) < progress
    niche = tastes[user, slot + newer * _NICHES_OF_A_USER]
    curious = rng.random(len(user)) < 0.1
    return np.where(curious, rng.integers(0, _NICHES, len(user)), niche)


def _pick_items(
    rng: np.random.Generator,
    shelf: Shelf,
    segment: NDArray[np.int64],
    period: NDArray[np.int64],
    periods: int,
) -> NDArray[np.int64]:
    """Draw a dataset for each view by popularity, day and price; -1 if the niche has none yet.

    `segment` [m] is niche × 3 + purse; `period` [m] counts the window's half days.
    """
    appeal = shelf.popularity[None, :] * np.exp(-np.abs(shelf.price_level[None, :] - np.arange(3)[:, None]) * 1.2)
    centre = (np.arange(periods) + 0.5)[:, None] / periods
    arrived = (centre - shelf.born[None, :]) > 0
    fresh = np.exp(-np.maximum(centre - shelf.born[None, :], 0) * 20) * (shelf.born[None, :] > 0) * 4
    burst = 12 * np.exp(-(((centre - shelf.burst[None, :]) * 30) ** 2))
    moment = (1 + fresh + burst) * arrived
    group = segment * periods + period
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    members = [np.flatnonzero((shelf.niche == number) & ~shelf.cold) for number in range(_NICHES)]
    picked = np.full(len(segment), -1, np.int64)
    draws = rng.random(len(segment))
    for first, last in pairwise(bounds):
        rows = order[first:last]
        (niche_now, purse_now), period_now = divmod(segment[rows[0]], _PURSES), period[rows[0]]
        shelf_part = members[niche_now]
        edges = np.cumsum(appeal[purse_now, shelf_part] * moment[period_now, shelf_part])
        if len(edges) and edges[-1] > 0:
            picked[rows] = shelf_part[
                np.searchsorted(edges, draws[rows] * edges[-1], side="right").clip(max=len(edges) - 1)
            ]
    return picked


def _with_consequences(
    rng: np.random.Generator, views: _Views, shelf: Shelf, purse: NDArray[np.int64], size: DemoSize
) -> tuple[_Views, NDArray[np.int64]]:
    """Let some views lead to a favourite minutes later and a purchase hours later; keep as many as the size says."""
    fits = np.exp(-np.abs(shelf.price_level[views.item] - purse[views.user]))
    kept = rng.random(len(views.user)) < 0.15 * (0.4 + fits)
    bought = rng.random(len(views.user)) < 0.08 * fits
    parts = [np.arange(len(views.user)), np.flatnonzero(kept), np.flatnonzero(bought)]
    later = [0, 120, 5400]
    rows = np.concatenate(parts)
    kinds = np.repeat([_VIEW, _FAVORITE, _PURCHASE], [len(part) for part in parts])
    delay = np.concatenate([rng.integers(0, lag + 1, len(part)) for lag, part in zip(later, parts, strict=True)])
    second = np.minimum(views.second[rows] + delay, size.seconds - 1)
    chosen = rng.permutation(len(rows))[: size.interactions]
    chosen = chosen[np.lexsort((kinds[chosen], second[chosen]))]
    return _Views(views.user[rows[chosen]], views.item[rows[chosen]], second[chosen]), kinds[chosen]


def _table(interactions: tuple[_Views, NDArray[np.int64]], shelf: Shelf, start: int) -> pa.Table:
    views, kinds = interactions
    price = np.where(kinds == _PURCHASE, shelf.price[views.item], np.nan)
    return pa.table(
        [
            views.user,
            views.item,
            pa.DictionaryArray.from_arrays(kinds.astype(np.int8), _TYPES).cast(pa.string()),
            pa.array(price, from_pandas=True),
            pa.array((start + views.second) * 1_000_000, pa.timestamp("us", tz="UTC")),
        ],
        schema=INTERACTIONS,
    )
