"""The interest of users in datasets, as a sparse matrix."""

import numpy as np
from scipy import sparse

from pipeline.records import Records


def interest_matrix(records: Records) -> sparse.csr_array:
    """Return float32 [users, datasets], 1 for each pair with an interaction."""
    rows = records.first_of_pair
    shape = (len(records.user_ids), len(records.catalogue))
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_array((ones, (records.user[rows], records.item[rows])), shape=shape)
