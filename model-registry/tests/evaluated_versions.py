"""Versions with evaluation parts of a chosen quality, for tests of the gate."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ranking.evaluation import EvaluationPart, RankingModel, write_part
from ranking.recall import Neighbours
from ranking.testing import Size, tiny_archive, tiny_part
from running_registry import RunningRegistry

SIZE = Size(datasets=80, trees=10)


def degrade(twin: RankingModel, share: float) -> RankingModel:
    """Return a model that knows the nearest neighbours of fewer datasets; 0.16 costs 5 % of nDCG@10."""
    rows = np.random.default_rng(0).permutation(len(twin.ids))[: round(share * len(twin.ids))]

    def without_nearest(table: Neighbours) -> Neighbours:
        items = table.items.copy()
        items[rows] = np.roll(items[rows], -15, axis=1)
        return Neighbours(items, table.scores)

    tables = twin.tables
    worse = {name: without_nearest(getattr(tables, name)) for name in ("content", "behavior", "vector")}
    return replace(twin, tables=replace(tables, **worse))


def part_of(run_id: str, base: EvaluationPart, *, share: float = 0.0, cut: datetime | None = None) -> EvaluationPart:
    """Return the part of another run on the same queries, with a worse twin."""
    changes = {"run_id": run_id} | ({} if cut is None else {"cut": cut})
    return replace(base, manifest=base.manifest.model_copy(update=changes), twin=degrade(base.twin, share))


def base_part(queries: int) -> EvaluationPart:
    """Return the part that others are made of."""
    return tiny_part(queries=queries, size=SIZE)


class EvaluatedVersions:
    """Pushes versions with parts; each run is one seed, and all manifests have the same metric."""

    def __init__(self, registry: RunningRegistry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._runs = 0

    def push(self, base: EvaluationPart | None, *, share: float = 0.0) -> str:
        """Push a bundle and, if there is one, its part; return the version."""
        self._runs += 1
        run = f"run-{self._runs}"
        archive = tiny_archive(self._folder / f"{run}.tar.gz", version=f"{run}-abc", seed=self._runs, size=SIZE)
        pushed = self._registry.push(archive)
        assert pushed.status_code == 201, pushed.text
        version = str(pushed.json()["version"])
        assert pushed.json()["takes_evaluation"]
        if base is not None:
            answer = self._registry.put_evaluation(version, self.write(part_of(run, base, share=share)))
            assert answer.status_code == 200, answer.text
        return version

    def write(self, part: EvaluationPart) -> Path:
        """Write a part and return its path."""
        path = self._folder / f"{part.manifest.run_id}.zip"
        write_part(part, path)
        return path
