"""The LightGBM ranker: loads a text model and computes scores."""

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES
from ranking.forest import Forest, UnrepresentableError


class UnusableRankerError(ValueError):
    """The text is not a LightGBM model, or not one for these features; make a new bundle."""


class Ranker:
    """A trained LambdaMART model over the columns of `FEATURES`; `method` says how its scores are computed, and why.

    `forest` computes them, or LightGBM if `forest` is None.
    """

    def __init__(self, model_text: str) -> None:
        """Load a text of `Booster.model_to_string`; raises `UnusableRankerError`."""
        try:
            self._booster = lgb.Booster(model_str=model_text)
        except lgb.basic.LightGBMError as error:
            raise UnusableRankerError(f"not a LightGBM model: {error}") from error
        if (names := self._booster.feature_name()) != [feature.name for feature in FEATURES]:
            raise UnusableRankerError(f"trained on other features: {', '.join(names)}")
        self.forest: Forest | None = None
        try:
            self.forest = Forest(self._booster)
            self.method = "bit masks"
        except UnrepresentableError as error:
            self.method = f"LightGBM: {error}"

    def scores(self, matrix: NDArray[np.float32], threads: int = 1) -> NDArray[np.float64]:
        """Return one raw score per row, [m] float64, higher is better; the number of threads doesn't change the result.

        Serving uses one thread: a second one doubles the CPU for 200 rows and competes with the other workers. Bit
        masks only use the caller's thread.
        """
        if self.forest is not None:
            return self.forest.scores(np.ascontiguousarray(matrix, np.float32))
        return np.asarray(self._booster.predict(matrix, num_threads=threads), np.float64)

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return SHAP values, [m, len(FEATURES) + 1]; the last column is the expected score."""
        return np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=1), np.float64)
