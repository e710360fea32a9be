"""The sliding windows of trending counts."""

import math
from dataclasses import dataclass

from contracts.redis_keys import Timeframe

# A slice that has left its window is subtracted within minutes; this is for a worker that was down.
_MARGIN_SECONDS = 3600


@dataclass(frozen=True)
class Window:
    """A sliding window of `seconds`, cut into slices of less than a hundredth of it.

    `legacy_slice_seconds` is the length of a slice in the release before.
    """

    name: Timeframe
    seconds: int
    slice_seconds: int
    legacy_slice_seconds: int

    @property
    def slice_ttl(self) -> int:
        """How long (s) a slice is stored."""
        return self.seconds + self.slice_seconds + _MARGIN_SECONDS

    def slice_of(self, at: float) -> int:
        """Return the number of the slice of a Unix time."""
        return math.floor(at / self.slice_seconds)

    def oldest_slice(self, now: float) -> int:
        """Return the number of the oldest slice of the window: the first one that lies in it by more than a half."""
        return self.slice_of(now - self.seconds + self.slice_seconds / 2)

    def legacy_slices(self, now: float) -> range:
        """Return the numbers of the slices that the release before may have written."""
        last = math.floor(now / self.legacy_slice_seconds)
        return range(last - self.seconds // self.legacy_slice_seconds, last + 1)

    def slice_of_legacy(self, number: int) -> int:
        """Return the slice that contains the middle of one of the release before."""
        return self.slice_of((number + 0.5) * self.legacy_slice_seconds)


WINDOWS = (Window("24h", 86_400, 600, 900), Window("1h", 3600, 30, 60))
