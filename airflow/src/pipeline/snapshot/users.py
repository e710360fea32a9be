"""Users in the form of the snapshot."""

from collections.abc import Iterator

from contracts.user_blob import UserBlob
from pipeline.progress import Progress
from pipeline.records import Records


def user_blobs(records: Records) -> Iterator[tuple[int, bytes]]:
    """Yield id and packed blob as of the end of the records, of every user with an interaction or a declared column."""
    progress = Progress("snapshot of users", len(records.user_ids))
    for user, user_id in enumerate(records.user_ids.tolist()):
        progress.advance(1)
        rows = records.rows_of(user)
        if len(rows) or records.own_users.shape[1]:
            features = records.features_of(user, rows)
            yield user_id, UserBlob(features, records.history(rows)).pack()
