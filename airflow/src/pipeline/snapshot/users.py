"""Users in the form of the snapshot."""

from collections.abc import Iterator

from contracts.user_blob import UserBlob
from pipeline.progress import Progress
from pipeline.records import Records


def user_blobs(records: Records) -> Iterator[tuple[int, bytes]]:
    """Yield id and packed blob of every user with an interaction, as of the end of the records."""
    progress = Progress("snapshot of users", len(records.user_ids))
    for user, user_id in enumerate(records.user_ids.tolist()):
        progress.advance(1)
        rows = records.rows_of(user)
        if len(rows):
            features = records.features_of(rows)
            yield user_id, UserBlob(features, records.history(rows)).pack()
