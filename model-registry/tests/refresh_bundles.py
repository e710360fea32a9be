"""Bundles that refresh a version, for tests."""

import tarfile
from pathlib import Path
from typing import Any

from contracts.bundle import pack, read_manifest, write_manifest
from ranking.testing import tiny_bundle
from running_registry import RunningRegistry


def ranker_of(archive: Path) -> str:
    """Return the ranker of a packed bundle."""
    with tarfile.open(archive) as packed:
        ranker = packed.extractfile("ranker.txt")
        assert ranker is not None
        return ranker.read().decode()


def archive(folder: Path, refreshes: str | None, *, seed: int, ranker_text: str | None = None, **changes: Any) -> Path:
    """Write a bundle that refreshes a version; without the ranker of that one, it has another."""
    contents = tiny_bundle(folder / f"refresh-{seed}", seed=seed, ndcg=0.0, ranker_text=ranker_text)
    manifest = read_manifest(contents).model_copy(update={"refreshes": refreshes, **changes})
    write_manifest(contents, manifest)
    packed = folder / f"refresh-{seed}.tar.gz"
    pack(contents, packed)
    return packed


def pushed(registry: RunningRegistry, folder: Path, refreshes: str, *, seed: int, **changes: Any) -> str:
    """Push such a bundle with the ranker of the version that it refreshes, and return its version."""
    stored = registry.stored(refreshes)
    ranker_text = ranker_of(stored) if stored.exists() else None
    answer = registry.push(archive(folder, refreshes, seed=seed, ranker_text=ranker_text, **changes))
    assert answer.status_code == 201, answer.text
    assert answer.json()["refreshes"] == refreshes
    return str(answer.json()["version"])
