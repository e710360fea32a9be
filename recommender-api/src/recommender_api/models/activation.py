"""Makes a loaded model from a deployment: fetch its bundle, check it, load it."""

import asyncio
from pathlib import Path

from contracts.bundle import MalformedBundleError, MalformedManifestError
from contracts.checksums import ChecksumError
from contracts.deployments import ActiveDeployment, DeploymentStage
from contracts.registry.errors import RegistryUnreachableError
from recommender_api.models.bundle_check import check_bundle
from recommender_api.models.bundle_fetch import BundleNotFoundError, ChecksumMismatchError
from recommender_api.models.cache import BundleCache
from recommender_api.models.loading import UnusableModelError, load_model
from recommender_api.models.low_priority_thread import LowPriorityThread
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.serving import LoadedModel, Models
from recommender_api.models.subprocess_runner import run_in_subprocess


class ActivationError(Exception):
    """This replica can't serve a deployed version; `stage` is the step that failed."""

    def __init__(self, deployment: ActiveDeployment, stage: DeploymentStage, message: str) -> None:
        super().__init__(f"version {deployment.version}: {stage}: {message}")
        self.deployment = deployment
        self.stage = stage


class Activator:
    """Makes models from deployments. While `models` serves requests, the work runs with low priority."""

    def __init__(
        self, models: Models, registry: ReplicaRegistry, cache: BundleCache, thread: LowPriorityThread
    ) -> None:
        self._models = models
        self._registry = registry
        self._cache = cache
        self._thread = thread

    async def activate(self, deployment: ActiveDeployment) -> LoadedModel:
        """Return the deployment's model, that of memory or of the disk if it is there; raises `ActivationError`."""
        loaded = self._models.loaded(deployment.sha256)
        if loaded is not None:
            return LoadedModel(deployment, loaded.manifest, loaded.engine)
        folder = self._cache.folder(deployment.sha256)
        try:
            damage = None
            if folder.is_dir():
                damage = await self._check(folder)
            else:
                await self._fetch(deployment)
            return await self._thread.run(load_model, folder, deployment, damage)
        except UnusableModelError as error:
            # The next attempt downloads it again.
            await asyncio.to_thread(self._cache.drop, deployment.sha256)
            raise ActivationError(deployment, error.stage, str(error)) from error
        except (RegistryUnreachableError, BundleNotFoundError, OSError) as error:
            raise ActivationError(deployment, DeploymentStage.DOWNLOAD, str(error)) from error
        except ChecksumMismatchError as error:
            raise ActivationError(deployment, DeploymentStage.CHECKSUM, str(error)) from error
        except (MalformedBundleError, MalformedManifestError, ChecksumError) as error:
            raise ActivationError(deployment, DeploymentStage.UNPACK, str(error)) from error

    async def _check(self, folder: Path) -> ChecksumError | None:
        """Return the damage of a bundle on the disk that doesn't prevent serving it."""
        run = asyncio.to_thread if self._models.serving is None else run_in_subprocess
        try:
            return await run(check_bundle, folder)
        except (MalformedManifestError, ChecksumError) as error:
            raise UnusableModelError(DeploymentStage.LOAD, str(error)) from error

    async def _fetch(self, deployment: ActiveDeployment) -> None:
        """Bring a bundle to the disk, every file of it checked."""
        scratch = await asyncio.to_thread(self._cache.scratch)
        try:
            folder = Path(scratch.name)
            await self._registry.fetch(deployment, folder, in_subprocess=self._models.serving is not None)
            await asyncio.to_thread(self._cache.add, folder / "unpacked", deployment.sha256)
        finally:
            await asyncio.to_thread(scratch.cleanup)
