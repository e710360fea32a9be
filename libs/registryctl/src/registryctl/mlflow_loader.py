"""Loads the ranker of a bundle for MLflow: `mlflow.pyfunc.load_model` calls `_load_pyfunc`.

`registryctl export` copies this file into the folder that it writes; `registryctl` itself doesn't import it. `predict`
takes a data frame with the ranker's features and returns a score per row, higher is better. Recall, filters and
fallbacks are those of recommender-api, and are not here.
"""

import tarfile
from pathlib import Path
from typing import Any

import lightgbm as lgb

_BUNDLE = "bundle.tar.gz"
_RANKER = "ranker.txt"
_MAX_BYTES = 2**28


class BundleRanker:
    """The ranker of a bundle."""

    def __init__(self, model_text: str) -> None:
        self._booster = lgb.Booster(model_str=model_text)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow's
        """Return the scores of a data frame's rows, which has the ranker's features as columns."""
        return self._booster.predict(model_input[self._booster.feature_name()])


def _load_pyfunc(path: str) -> BundleRanker:
    """Return the model of the folder `path`; nothing is unpacked, and nothing of the bundle is executed."""
    with tarfile.open(Path(path) / _BUNDLE) as archive:
        entry = next((each for each in archive if each.name == _RANKER and each.isfile()), None)
        content = None if entry is None or entry.size > _MAX_BYTES else archive.extractfile(entry)
        if content is None:
            raise ValueError(f"{_BUNDLE} has no usable {_RANKER}")
        return BundleRanker(content.read().decode())
