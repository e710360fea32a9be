"""5-core, and the two ways to split it: each user's last dataset, and a moment for all."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.events import InteractionType
from pipeline.records import Records
from pipeline.train.model import last_pairs, of_pairs

CORE = 5
TEST_SHARE = 0.2


class Split(NamedTuple):
    """`train` part of the core's records, and the `test` rows of the core in the order of time."""

    train: Records
    test: NDArray[np.int64]


class GlobalSplit(NamedTuple):
    """`train` is everything before the time `cut` (Unix seconds); `test` are the rows of new pairs from then on."""

    train: Records
    test: NDArray[np.int64]
    cut: int

    def of_known(self, core: Records) -> NDArray[np.bool_]:
        """Return which test rows are of users with interactions before the cut; `core` are the records of the split."""
        known = np.bincount(self.train.user, minlength=len(core.user_ids)) > 0
        found: NDArray[np.bool_] = known[core.user[self.test]]
        return found


def five_core(records: Records) -> tuple[Records, NDArray[np.int64]]:
    """Find users and datasets with at least five of each other; return their records and the datasets' positions."""
    rows = records.first_of_pair
    user, item = records.user[rows], records.item[rows]
    keep = np.ones(len(rows), np.bool_)
    while True:
        users = np.bincount(user[keep], minlength=len(records.user_ids)) >= CORE
        items = np.bincount(item[keep], minlength=len(records.catalogue)) >= CORE
        fits = keep & users[user] & items[item]
        if fits.sum() == keep.sum():
            break
        keep = fits
    kept = np.flatnonzero(items)
    return records.only(users[records.user]).with_datasets(kept), kept


def leave_last_out(core: Records, most: int, seed: int) -> Split:
    """Hold out each user's last new dataset with all interactions of the user; test at most `most` users."""
    held = last_pairs(core, 1, least_before=1, seed=seed)
    return Split(core.only(~of_pairs(core, held)), sample_rows(held, most, seed))


def global_split(core: Records) -> GlobalSplit:
    """Split at the moment after which the newest 20 % of the interactions came; interactions of that second are test.

    `test` are all pairs that begin after the cut, also those of users and datasets that are unknown before it.
    """
    interest = np.flatnonzero(core.types != InteractionType.EXPOSURE)
    cut = int(core.ts[interest[int(len(interest) * (1 - TEST_SHARE))]]) if len(interest) else core.end
    rows = core.first_of_pair
    return GlobalSplit(core.only(core.ts < cut), rows[core.ts[rows] >= cut], cut)


def sample_rows(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most `most` of the ascending rows, sampled by the seed and still ascending."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
