"""What feature-sync can't remove: where it lies, and until when."""

from datetime import datetime, timedelta

from feature_sync.forgetting.bodies import RemainingData

# recommender-api caches last good answers for so long. The release before has put no user into their keys.
_LAST_GOOD = timedelta(hours=24)


def remains(moment: datetime) -> list[RemainingData]:
    """Return all such places at a moment; for a forgotten user, that from before which all is forgotten."""
    return [
        RemainingData(
            name="business_database",
            what="the user's row and interactions, which each training reads again",
            ends="when you delete them there",
        ),
        RemainingData(
            name="pipeline_runs",
            what="files and snapshots of runs below ARTIFACT_URL; a sync of a snapshot from before leaves a forgotten "
            "user out",
            ends="after RUNS_KEPT further good runs and FAILED_RUNS_KEPT failed ones; days of the event log with "
            "removed events are read again by the next run",
        ),
        RemainingData(
            name="bundles",
            what="golden requests (histories of eight users, without ids), and a model trained on all users",
            ends="when `registryctl retention` removes the bundles that were trained before",
        ),
        RemainingData(
            name="collector",
            what="events of monitoring with the user's number as a tag",
            ends="when the collector deletes the events, or you delete them there",
        ),
        RemainingData(
            name="event_journal",
            what="events that recommender-api accepted while Redis was down",
            ends="seconds after Redis is back: those of a forgotten user are dropped then",
        ),
        RemainingData(
            name="answers_of_the_release_before",
            what="last good answers that a recommender-api of the release before has cached; their keys hold no user",
            until=moment + _LAST_GOOD,
            ends="they expire",
        ),
        RemainingData(
            name="backups",
            what="backups of PostgreSQL and Redis, their write-ahead logs and append-only files",
            ends="when you delete the backups; the append-only file with its next rewrite (BGREWRITEAOF)",
        ),
    ]
