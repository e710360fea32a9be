"""Bundles on the local disk, by checksum, and what was active last: enough to start without the registry."""

import logging
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from contracts.deployments import ActiveDeployments
from recommender_api.models.registry import parse

_log = logging.getLogger(__name__)

SPARE_BUNDLES = 1


class BundleCache:
    """A folder that one replica owns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.saved_path = root / "active.json"

    def saved(self) -> ActiveDeployments | None:
        """Return what was active last, None if nothing was; raises `MalformedDeploymentError` or `OSError`."""
        try:
            return parse(self.saved_path.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, active: ActiveDeployments) -> None:
        """Remember what is active now; raises `OSError`."""
        fresh = self.saved_path.with_suffix(".tmp")
        fresh.write_text(active.model_dump_json(indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.saved_path)

    def remember(self, active: ActiveDeployments) -> None:
        """Save what is active and keep only its bundles; a disk that fails costs no more than the next start."""
        try:
            self.save(active)
            self.prune([deployment.sha256 for deployment in active.deployments])
        except OSError as error:
            _log.warning("cannot keep the active deployment for the next start: %s", error)

    def folder(self, sha256: str) -> Path:
        """Return where the bundle with this checksum lies unpacked, if it does."""
        return self.root / "bundles" / sha256

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder on the same file system, to be removed after use; raises `OSError`."""
        self.root.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self.root, prefix="fetch-")

    def add(self, unpacked: Path, sha256: str) -> None:
        """Put an unpacked bundle from `scratch` beside the others; raises `OSError`."""
        target = self.folder(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        unpacked.replace(target)

    def drop(self, sha256: str) -> None:
        """Forget a bundle that turned out damaged."""
        shutil.rmtree(self.folder(sha256), ignore_errors=True)

    def prune(self, needed: Collection[str]) -> None:
        """Remove all bundles but the needed ones and the latest other, for a rollback."""
        folder = self.root / "bundles"
        others = [path for path in folder.iterdir() if path.name not in needed] if folder.is_dir() else []
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[SPARE_BUNDLES:]:
            shutil.rmtree(path, ignore_errors=True)
