"""Recoveries of faults that are checked at every call, without a signal for every successful call."""

from monitoring.process import recovered

_Fields = tuple[tuple[str, object], ...]


class Recoveries:
    """Sends the recoveries of a point: at the first success of this process, and at the first after each failure.

    An earlier process may have reported a failure, so the first success counts as a recovery.
    """

    def __init__(self, point_id: str) -> None:
        self._point_id = point_id
        self._healthy: set[_Fields] = set()

    def note_failure(self, **fields: object) -> None:
        """Note that what these fields name is broken."""
        self._healthy.discard(tuple(sorted(fields.items())))

    def note_success(self, **fields: object) -> None:
        """Send the recovery of what these fields name, unless it was healthy before."""
        key = tuple(sorted(fields.items()))
        if key not in self._healthy:
            self._healthy.add(key)
            recovered(self._point_id, **fields)
