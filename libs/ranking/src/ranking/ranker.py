"""The LightGBM ranker: loads a text model and computes scores."""

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES
from ranking.forest import Forest, UnrepresentableError
from ranking.ranker_text import RankerGrammarError, check_ranker_text

_COLUMN = {feature.name: column for column, feature in enumerate(FEATURES)}


_NAMES = "feature_names="


def feature_names(model_text: str) -> list[str]:
    """Return the names of a LightGBM text's columns, in their order; none if it is not such a text."""
    head = model_text[: model_text.find("\nTree=") + 1]
    return next((line.removeprefix(_NAMES).split() for line in head.splitlines() if line.startswith(_NAMES)), [])


class UnusableRankerError(ValueError):
    """The text is not a LightGBM model, or not one for these features; make a new bundle."""


class Ranker:
    """A trained LambdaMART model over some of the columns of `FEATURES`, which it names itself.

    A model of an earlier release has fewer columns, or another order. `own` are the names of the declared columns,
    which follow those of `FEATURES`; [m, columns] has both. `method` says how its scores are computed, and why:
    `forest` computes them, or LightGBM if `forest` is None.
    """

    def __init__(self, model_text: str, own: Sequence[str] = ()) -> None:
        """Load a text of `Booster.model_to_string`; raises `UnusableRankerError`."""
        try:
            check_ranker_text(model_text)
        except RankerGrammarError as error:
            raise UnusableRankerError(f"ranker.txt: not a LightGBM model: {error}") from error
        try:
            self._booster = lgb.Booster(model_str=model_text)
        except lgb.basic.LightGBMError as error:
            raise UnusableRankerError(f"not a LightGBM model: {error}") from error
        names = self._booster.feature_name()
        places = _COLUMN | {name: len(FEATURES) + place for place, name in enumerate(own)}
        if unknown := [name for name in names if name not in places]:
            raise UnusableRankerError(f"trained on features that this release does not compute: {', '.join(unknown)}")
        self._width = len(places)
        self._columns = np.array([places[name] for name in names])
        self.forest: Forest | None = None
        try:
            self.forest = Forest(self._booster, self._columns, self._width)
            self.method = "bit masks"
        except UnrepresentableError as error:
            self.method = f"LightGBM: {error}"

    def scores(self, matrix: NDArray[np.float32], threads: int = 1) -> NDArray[np.float64]:
        """Return one raw score per row of [m, columns], float64, higher is better.

        The number of threads doesn't change the result.

        Serving uses one thread: a second one doubles the CPU for 200 rows and competes with the other workers. Bit
        masks only use the caller's thread.
        """
        if self.forest is not None:
            return self.forest.scores(np.ascontiguousarray(matrix, np.float32))
        return np.asarray(self._booster.predict(matrix[:, self._columns], num_threads=threads), np.float64)

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return SHAP values, [m, columns + 1]; the last column is the expected score."""
        own = np.asarray(self._booster.predict(matrix[:, self._columns], pred_contrib=True, num_threads=1), np.float64)
        found = np.zeros((len(matrix), self._width + 1))
        found[:, np.append(self._columns, self._width)] = own
        return found
