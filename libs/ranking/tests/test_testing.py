"""The tiny bundle of other packages' tests is complete."""

from pathlib import Path

import numpy as np

from contracts.bundle import unpack
from ranking.bundle import load
from ranking.engine import Engine
from ranking.testing import FIRST_DATASET_ID, Size, tiny_archive, tiny_bundle
from ranking.verification import verify


def test_a_packed_tiny_bundle_unpacks_loads_and_answers_its_golden_requests(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "bundle.tar.gz", version="7", ndcg=0.3)
    manifest = unpack(archive, tmp_path / "unpacked")
    engine = Engine(load(tmp_path / "unpacked"))
    assert (manifest.version, manifest.metrics["ndcg@10"]) == ("7", 0.3)
    assert verify(engine) == 10


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_bundle(tmp_path: Path) -> None:
    first, again, other = (tiny_archive(tmp_path / f"{i}.tar.gz", seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_only_the_last_dataset_is_cold(tmp_path: Path) -> None:
    contents = load(tiny_bundle(tmp_path, size=Size(60)))
    assert contents.catalogue.ids[0] == FIRST_DATASET_ID
    has_list = (contents.precomputed.items >= 0).any(axis=1)
    assert has_list[:-1].all()
    assert not has_list[-1]
    assert not np.isin(59, contents.recall.content.items)
