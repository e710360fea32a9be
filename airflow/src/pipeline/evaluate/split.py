"""5-core and leave-last-out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Records
from pipeline.train.model import last_pairs, of_pairs

CORE = 5


class Split(NamedTuple):
    """`records` of the 5-core, `train` without the held-out pairs, `test` rows of `records` in the order of time.

    `kept` are the positions of the 5-core's datasets in the whole catalogue.
    """

    kept: NDArray[np.int64]
    records: Records
    train: Records
    test: NDArray[np.int64]


def leave_last_out(records: Records, most: int, seed: int) -> Split:
    """Hold out each 5-core user's last new dataset with all interactions of the user; test at most `most` users."""
    core, kept = five_core(records)
    test = last_pairs(core, 1, least_before=1, seed=seed)
    train = core.only(~of_pairs(core, test))
    if len(test) > most:
        test = np.sort(np.random.default_rng(seed).choice(test, most, replace=False))
    return Split(kept, core, train, test)


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
