"""The packed history of a user is that of `LiveHistory.append`, whatever is added to it."""

import random

import numpy as np
import pytest

from contracts.user_blob import MAX_LIVE, MAX_SEQUENCE, LiveHistory
from feature_sync.events.histories import Interaction, add_interactions

NOW = 1_800_000_000


def _appended(live: LiveHistory, added: list[Interaction]) -> LiveHistory:
    ids, times, kinds = (np.array(column) for column in zip(*added, strict=True))
    return live.append(ids.astype(np.int64), times.astype(np.int64), kinds.astype(np.uint8))


@pytest.mark.parametrize("seed", range(20))
def test_the_bytes_are_those_of_the_arrays(seed: int) -> None:
    chance = random.Random(seed)
    blob, live = b"", LiveHistory()
    for _ in range(40):
        added = [
            Interaction(chance.choice([chance.randrange(1, 80), 2**63 - 1]), NOW - chance.randrange(200), kind)
            for kind in chance.choices(range(1, 5), k=chance.randrange(1, 12))
        ]
        after = _appended(live, added)
        blob, new = add_interactions(blob, added, NOW)
        if after.history.pack() == live.history.pack():
            assert new == 0
        else:
            live = after
        assert blob == live.pack()


def test_what_a_history_contains_or_has_no_room_for_changes_nothing() -> None:
    full, _ = add_interactions(b"", [Interaction(n, NOW + n, 1) for n in range(1, MAX_LIVE + 1)], NOW + 100)
    for known in (Interaction(1, NOW + 1, 1), Interaction(1, NOW - 5, 1), Interaction(999, NOW - 9, 4)):
        assert add_interactions(full, [known], NOW + 100) == (full, 0)


def test_the_sequence_begins_again_after_the_last_number() -> None:
    last = LiveHistory(MAX_SEQUENCE).pack()
    blob, _ = add_interactions(last, [Interaction(1, NOW, 1)], NOW)
    assert LiveHistory.unpack(blob).sequence == 0


def test_a_foreign_value_counts_as_an_empty_history() -> None:
    blob, new = add_interactions(b"foreign", [Interaction(1, NOW, 1)], NOW)
    assert (LiveHistory.unpack(blob).sequence, new) == (1, 1)


@pytest.mark.parametrize("ts", [-1, 2**32])
def test_a_time_outside_of_the_range_is_rejected(ts: int) -> None:
    with pytest.raises(OverflowError, match="1970 to 2106"):
        add_interactions(b"", [Interaction(1, ts, 1)], NOW)
