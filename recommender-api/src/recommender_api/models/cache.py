"""Bundles on the local disk, by checksum, and the last active deployments: enough to start without the registry."""

import logging
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from contracts.deployments import ActiveDeployments

_log = logging.getLogger(__name__)

SPARE_BUNDLES = 1


class UnreadableCacheError(Exception):
    """What was active last can't be read from the disk; the message names the field."""


class BundleCache:
    """A folder that one replica owns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.saved_path = root / "active.json"

    def saved(self) -> ActiveDeployments | None:
        """Return what was active last, None if nothing was; raises `UnreadableCacheError` or `OSError`."""
        try:
            return ActiveDeployments.model_validate_json(self.saved_path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UnreadableCacheError(f"{field or 'document'}: {first['msg']}") from error

    def save(self, active: ActiveDeployments) -> None:
        """Save the active deployments; raises `OSError`."""
        fresh = self.saved_path.with_suffix(".tmp")
        fresh.write_text(active.model_dump_json(indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.saved_path)

    def remember(self, active: ActiveDeployments) -> None:
        """Save the active deployments and remove other bundles. If the disk fails, only the next start is affected."""
        try:
            self.save(active)
            self.prune([deployment.sha256 for deployment in active.deployments])
        except OSError as error:
            _log.warning("cannot save the active deployment for the next start: %s", error)

    def folder(self, sha256: str) -> Path:
        """Return the folder of the unpacked bundle with this checksum, None if there is none."""
        return self.root / "bundles" / sha256

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder on the same file system, which the caller removes after use; raises `OSError`."""
        self.root.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self.root, prefix="fetch-")

    def add(self, unpacked: Path, sha256: str) -> None:
        """Move an unpacked bundle from `scratch` to the others; raises `OSError`."""
        target = self.folder(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        unpacked.replace(target)

    def drop(self, sha256: str) -> None:
        """Remove a damaged bundle."""
        shutil.rmtree(self.folder(sha256), ignore_errors=True)

    def prune(self, needed: Collection[str]) -> None:
        """Remove all bundles except the needed ones and the latest other one, for a rollback."""
        folder = self.root / "bundles"
        others = [path for path in folder.iterdir() if path.name not in needed] if folder.is_dir() else []
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[SPARE_BUNDLES:]:
            shutil.rmtree(path, ignore_errors=True)
