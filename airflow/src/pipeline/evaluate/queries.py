"""Test queries with their right answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.split import GlobalSplit
from pipeline.records import Records
from pipeline.train.queries import Moments, PastQueries, moments_of
from ranking.replay import Kind

_NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True)
class QuerySet:
    """q queries in ascending time: each is answered with the part of `known` before its moment.

    `answers` are the positions of the right answers of each query.
    """

    known: Records
    moments: Moments
    answers: Sequence[NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.answers)

    def of_kind(self, kind: Kind) -> "QuerySet":
        """Return the same queries as another endpoint would get them."""
        return replace(self, moments=self.moments._replace(kinds=np.full(len(self), kind, np.uint8)))

    def only(self, rows: NDArray[np.int64]) -> "QuerySet":
        """Return the queries of ascending `rows`."""
        hidden = [self.moments.hidden[row] for row in rows]
        moments = Moments(self.moments.user[rows], self.moments.at[rows], self.moments.kinds[rows], hidden)
        return replace(self, moments=moments, answers=[self.answers[row] for row in rows])


def join_queries(groups: Mapping[str, QuerySet]) -> tuple[QuerySet, NDArray[np.str_]]:
    """Return the queries of all groups, which have the same known part, as one in ascending time; and their groups."""
    sets = list(groups.values())
    at = np.concatenate([each.moments.at for each in sets])
    order = np.argsort(at, kind="stable")
    hidden = [items for each in sets for items in each.moments.hidden]
    answers = [items for each in sets for items in each.answers]
    moments = Moments(
        np.concatenate([each.moments.user for each in sets])[order],
        at[order],
        np.concatenate([each.moments.kinds for each in sets])[order],
        [hidden[row] for row in order],
    )
    names = np.repeat(list(groups), [len(each) for each in sets])
    return QuerySet(sets[0].known, moments, [answers[row] for row in order]), names[order]


def ask_before(core: Records, rows: NDArray[np.int64], known: Records) -> QuerySet:
    """Return one query just before each of the rows of `core`, whose dataset is the right answer."""
    past = PastQueries(rows, np.full(len(rows), Kind.USER, np.uint8))
    return QuerySet(known, moments_of(core, past), list(core.item[rows][:, None]))


def ask_at_cut(core: Records, split: GlobalSplit, users: NDArray[np.int64]) -> QuerySet:
    """Return one query at the cut for each of the ascending `users`: right are all their new datasets after it."""
    test = split.test[np.argsort(core.user[split.test], kind="stable")]
    bounds = np.searchsorted(core.user[test], [users, users + 1])
    answers = [core.item[test[start:stop]] for start, stop in bounds.T]
    moments = Moments(
        users.astype(np.int32),
        np.full(len(users), split.cut, np.int64),
        np.full(len(users), Kind.USER, np.uint8),
        [_NOTHING] * len(users),
    )
    return QuerySet(split.train, moments, answers)
