"""One list of withdrawn datasets, with lookups for answers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.withdrawn import WithdrawnList
from ranking.catalogue import Catalogue
from ranking.engine import NOTHING_HIDDEN, Keep

# Primary, canary and shadow; one more while a deployment changes.
_MOST_CATALOGUES = 4


class _Hidden(NamedTuple):
    """The withdrawn positions of one catalogue; `shown` bool [n] is None if there are none."""

    catalogue: Catalogue
    positions: NDArray[np.int32]
    shown: NDArray[np.bool_] | None


class Withdrawn:
    """Immutable: a new list is a new object. The positions in a catalogue are computed once."""

    def __init__(self, listed: WithdrawnList) -> None:
        self.sequence = listed.sequence
        self.ids = frozenset(listed.ids.tolist())
        self._listed = listed.ids
        self._hidden: list[_Hidden] = []

    def is_in(self, ids: Sequence[int]) -> bool:
        """Return whether any of these datasets is withdrawn."""
        return bool(self.ids) and not self.ids.isdisjoint(ids)

    def hidden(self, catalogue: Catalogue) -> NDArray[np.int32]:
        """Return the positions of the withdrawn datasets in a catalogue, ascending."""
        return self._in(catalogue).positions if self.ids else NOTHING_HIDDEN

    def keep(self, catalogue: Catalogue, keep: Keep | None) -> Keep | None:
        """Return a filter over positions that allows the positions that `keep` allows and that are not withdrawn."""
        shown = self._in(catalogue).shown if self.ids else None
        if shown is None:
            return keep

        def both(positions: NDArray[np.int32]) -> NDArray[np.bool_]:
            mask: NDArray[np.bool_] = shown[positions]
            return mask if keep is None else mask & keep(positions)

        return both

    def _in(self, catalogue: Catalogue) -> _Hidden:
        for found in self._hidden:
            if found.catalogue is catalogue:
                return found
        made = self._find(catalogue)
        self._hidden = [made, *self._hidden[: _MOST_CATALOGUES - 1]]
        return made

    def _find(self, catalogue: Catalogue) -> _Hidden:
        positions = catalogue.positions(self._listed)
        positions = positions[positions >= 0]
        if not len(positions):
            return _Hidden(catalogue, NOTHING_HIDDEN, None)
        shown = np.ones(len(catalogue), np.bool_)
        shown[positions] = False
        return _Hidden(catalogue, positions, shown)


NOTHING_WITHDRAWN = Withdrawn(WithdrawnList.of(0, ()))
