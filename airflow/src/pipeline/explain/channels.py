"""Which recall channels propose something from the data of a run, and how each one is made."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.recall.behavior import LEAST_USERS
from pipeline.recall.dense import DENSE
from pipeline.recall.transition import newest_by_user
from pipeline.records import Records
from ranking.features import ItemTable
from ranking.recall import RecallSettings


@dataclass(frozen=True)
class Channel:
    """A channel: `empty` is one that is on and finds nothing; `reason` says why, and of `fallback` what replaces it."""

    channel: str
    size: int
    state: Literal["on", "off", "empty", "fallback"]
    made_by: str
    reason: str = ""


@dataclass(frozen=True)
class ActiveDatasets:
    """Numbers of datasets that two users have taken: over all pairs, and over the newest, of which SLIT is made."""

    pairs: int
    newest: int


def count_active(records: Records, seed: int) -> ActiveDatasets:
    """Return how large the matrices of EASE and SLIT are."""
    rows = records.first_of_pair
    counted = (np.bincount(records.item[each]) for each in (rows, newest_by_user(records, rows, seed)))
    return ActiveDatasets(*(int((counts >= LEAST_USERS).sum()) for counts in counted))


def explain_channels(
    records: Records,
    items: ItemTable,
    settings: RecallSettings,
    active: ActiveDatasets,
    *,
    own: NDArray[np.float32] | None = None,
) -> Iterator[Channel]:
    """Yield all channels in their order; `own` are the user's own vectors."""
    with_text = int(items.content.any(axis=1).sum())
    made = {
        "behavior": _of_matrix(active.pairs, "EASE", "cosine similarity"),
        "content": ("text", "" if with_text else "no dataset has a word in common with another", "empty"),
        "vector": _of_vectors(records, own),
        "transition": _of_matrix(active.newest, "SLIT", "counted transitions"),
        "popular": ("counts, half-life 3 days", "", "empty"),
        "popular_30d": ("counts, half-life 30 days", "", "empty"),
    }
    # They look up the same neighbours, by other weights of the history.
    made |= {"history": made["behavior"], "recent": made["behavior"]}
    for channel, size in zip(settings.channel_sizes, settings.channel_sizes.values(), strict=True):
        made_by, reason, state = made[channel]
        if not size:
            yield Channel(channel, 0, "off", made_by, "its size is 0 in PIPELINE_CONFIG")
        elif reason:
            yield Channel(channel, size, "fallback" if state == "fallback" else "empty", made_by, reason)
        else:
            yield Channel(channel, size, "on", made_by)


def _of_vectors(records: Records, own: NDArray[np.float32] | None) -> tuple[str, str, str]:
    if own is None:
        return "factors of the interactions", "" if len(records) else "there are no interactions", "empty"
    have = int(own.any(axis=1).sum())
    made_by = f"own vectors of {have:,} datasets, {own.shape[1]:,} numbers each"
    return made_by, "" if have else "DATASET_VECTORS has no vector of a dataset", "empty"


def _of_matrix(active: int, dense: str, sparse: str) -> tuple[str, str, str]:
    if not active:
        return dense, "no dataset has two users", "empty"
    if active > DENSE.all:
        made_by = f"{dense} between the {DENSE.popular:,} most popular, {sparse} of other pairs"
        return made_by, f"{active:,} datasets have two users; {dense} alone is for up to {DENSE.all:,}", "fallback"
    return dense, "", "on"
