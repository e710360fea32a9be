"""Exploration: for a share of the users' hours, answers show a uniformly random choice of their best candidates.

Of an answer of k datasets, the best 2k candidates are taken, and k of them drawn in random order. So each of m
candidates stands at each place with the probability 1/m: what was shown does not depend on the ranker's order.
"""

import hashlib
from random import Random
from typing import NamedTuple

from recommender_api.answers.query import Query

POOL = 2
_SECONDS_PER_HOUR = 3600
_RANGE = 2**64


class Draw(NamedTuple):
    """The choice for one query; the same seed chooses the same rows of equally many candidates."""

    limit: int
    seed: int

    def widen(self, query: Query) -> Query:
        """Return the query for all candidates that may be shown."""
        return query._replace(limit=POOL * self.limit)

    def choose(self, candidates: int) -> list[int]:
        """Return the rows that are shown, of at least one candidate, in their order."""
        return Random(self.seed).sample(range(candidates), min(self.limit, candidates))  # noqa: S311 - not a secret


class Exploration:
    """Decides which queries explore: about `share` (0..1) of all pairs of a user and an hour (UTC)."""

    def __init__(self, share: float) -> None:
        self._threshold = int(share * _RANGE)

    def draw(self, query: Query, at: int) -> Draw | None:
        """Return the choice for a query at a time (Unix seconds), None for an answer in order.

        A user's queries of one hour all explore or none does, and a repeated query gets the same choice.
        """
        if query.user_id is None:
            return None
        visit = f"{query.user_id}:{at // _SECONDS_PER_HOUR}"
        if _hash(visit) >= self._threshold:
            return None
        return Draw(query.limit, _hash(f"{visit}:{query.digest()}"))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"explore").digest())
