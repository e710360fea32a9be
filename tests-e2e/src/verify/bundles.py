"""Small bundles for a private registry: valid ones, one that fails for one dataset, and a malformed one."""

import io
import json
import shutil
import tarfile
from datetime import timedelta
from pathlib import Path

import numpy as np

from contracts.bundle import pack, read_manifest, write_manifest
from ranking.testing import FIRST_DATASET_ID, Size, tiny_bundle

_DATASETS = 60


class Bundles:
    """Archives below `folder`; each valid one has different contents, so that it becomes a new version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents = tiny_bundle(folder / "contents", size=Size(datasets=_DATASETS))
        self._made = 0
        self.breaking_dataset = FIRST_DATASET_ID + _position_that_no_golden_request_touches(self._contents)
        # The last dataset is new: it has no neighbours and no precomputed list.
        self.cold_dataset = FIRST_DATASET_ID + _DATASETS - 1

    @property
    def dataset(self) -> int:
        """A dataset that every bundle can rank."""
        return FIRST_DATASET_ID + 1 if self.breaking_dataset == FIRST_DATASET_ID else FIRST_DATASET_ID

    def whole(self) -> Path:
        """Return a bundle that passes every check and answers."""
        return self._pack(self._contents)

    def breaking(self) -> Path:
        """Return a bundle that passes every check, but whose neighbours of one dataset have no scores."""
        contents = self._folder / "breaking"
        shutil.copytree(self._contents, contents)
        path = contents / "behavior_scores.npy"
        scores = np.load(path)
        scores[self.breaking_dataset - FIRST_DATASET_ID] = np.nan
        np.save(path, scores)
        return self._pack(contents)

    def malformed(self) -> Path:
        """Return an archive whose manifest is not JSON."""
        archive = self._folder / "malformed.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            manifest = b'{"name": "ranker",'
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(manifest)
            tar.addfile(entry, io.BytesIO(manifest))
        return archive

    def _pack(self, contents: Path) -> Path:
        self._made += 1
        manifest = read_manifest(contents)
        write_manifest(
            contents, manifest.model_copy(update={"created_at": manifest.created_at + timedelta(seconds=self._made)})
        )
        archive = self._folder / f"{self._made}.tar.gz"
        pack(contents, archive)
        return archive


def damage(path: Path) -> None:
    """Flip one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _position_that_no_golden_request_touches(contents: Path) -> int:
    golden = json.loads((contents / "golden.json").read_text(encoding="utf-8"))
    touched = {request["dataset_id"] for request in golden} | {
        dataset for request in golden for dataset in request["history_ids"]
    }
    return next(position for position in range(_DATASETS) if FIRST_DATASET_ID + position not in touched)
