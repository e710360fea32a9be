"""Computes an answer again by the one feature code, and finds the cause of a difference."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from contracts.served_features import ServedVectors
from contracts.user_blob import MAX_LIVE, History, LiveHistory, MalformedBlobError, PackedHistory
from pipeline.skew.served import LoggedEvent, ServedAnswer, live_history
from pipeline.skew.sources import NO_SNAPSHOT, SnapshotUsers
from ranking.engine import Engine

# An event is in the live history a second after its receipt; above this lag, `pipeline.feature_store_lag` is reported.
LIVE_LAG_SECONDS = 120.0


class Verdict(StrEnum):
    """Whether an answer was ranked with the features that training would compute, and otherwise why not."""

    EQUAL = "equal"
    LATE_EVENT = "late_event"
    STALE_SNAPSHOT = "stale_snapshot"
    # The answer fits the live history that it names, which is not that of the event log.
    LIVE_HISTORY = "live_history"
    CODE = "code"
    # What the answer was made with is gone.
    UNVERIFIABLE = "unverifiable"


class AnswerCheck:
    """Compares one answer. `expected` is the snapshot that was active then, `read` the one that the answer names."""

    def __init__(
        self,
        answer: ServedAnswer,
        vectors: ServedVectors,
        engine: Engine,
        *,
        expected: SnapshotUsers,
        read: SnapshotUsers,
    ) -> None:
        self._answer = answer
        self._vectors = vectors
        self._engine = engine
        self._expected = expected
        self._read = read

    def judge(self, events: Sequence[LoggedEvent]) -> Verdict:
        """Return the verdict; `events` are all of the user by now."""
        by_log = live_history(events, self._answer.moment)
        if self._is_equal(self._expected, by_log):
            return Verdict.EQUAL
        try:
            served = LiveHistory.opened(self._vectors.live)[1] if self._vectors.live else PackedHistory()
        except MalformedBlobError:
            served = PackedHistory()
        for live in (by_log, served):
            # Without the user's features: the user's key was not in Redis.
            if self._read is not self._expected and self._is_equal(self._read, live):
                return Verdict.STALE_SNAPSHOT
            if self._is_equal(NO_SNAPSHOT, live):
                return Verdict.STALE_SNAPSHOT
            if live is served and self._is_equal(self._expected, live):
                return Verdict.LATE_EVENT if self._is_late(by_log, served, events) else Verdict.LIVE_HISTORY
        return Verdict.CODE

    def _is_equal(self, snapshot: SnapshotUsers, live: PackedHistory) -> bool:
        """Return whether candidates, features and scores are the served ones, bit for bit."""
        answer, vectors = self._answer, self._vectors
        features, long_term = snapshot.known(answer.user_id, self._engine)
        catalogue = self._engine.contents.catalogue
        done = self._engine.rank_fused(
            features,
            long_term,
            live,
            anchor=None if answer.dataset_id is None else catalogue.position(answer.dataset_id),
            limit=answer.max_items,
            at=int(answer.moment),
            # An array of its own: the loops are compiled for one kind.
            hidden=np.array(vectors.hidden, np.int32),
        )
        if done is None:
            return False
        pairs = (
            (done.items, vectors.items),
            (done.considered, vectors.matrix),
            (done.best.items, vectors.best),
            (done.best.scores, vectors.scores),
        )
        return all(one.shape == other.shape and one.tobytes() == other.tobytes() for one, other in pairs)

    def _is_late(self, by_log: PackedHistory, served: PackedHistory, events: Sequence[LoggedEvent]) -> bool:
        """Return whether events that came after the answer are all that the two histories differ in."""
        known_by = self._answer.moment - LIVE_LAG_SECONDS
        late = {event.dataset_id for event in events if event.received_at > known_by}
        ours, theirs = _entries(by_log), _entries(served)
        # What a late one pushes out of a full history differs, too.
        return bool(late) and ({dataset for dataset, *_ in ours ^ theirs} <= late or len(ours) == MAX_LIVE)


def _entries(packed: PackedHistory) -> set[tuple[int, int, int]]:
    history = History.unpack(packed)
    return set(zip(history.ids.tolist(), history.ts.tolist(), history.types.tolist(), strict=True))
