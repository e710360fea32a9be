"""Which model answers which user."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from contracts.bundle import BundleManifest
from contracts.deployments import ActiveDeployment, DeploymentMode
from ranking.engine import Engine
from recommender_api.models.item_json_cache import ItemJsonCache


@dataclass(frozen=True)
class LoadedModel:
    """A deployed bundle in memory."""

    deployment: ActiveDeployment
    manifest: BundleManifest
    engine: Engine

    @cached_property
    def cards(self) -> ItemJsonCache:
        """The JSON of its datasets, as answers show them."""
        return ItemJsonCache(self.engine.contents.catalogue)


@dataclass(frozen=True)
class Arm:
    """The model that answers one request, and its role in an experiment."""

    name: str
    model: LoadedModel
    variant: DeploymentMode = "primary"
    experiment: str | None = None

    @cached_property
    def version(self) -> str:
        """The registry's version of the model."""
        return self.model.deployment.version


class Serving:
    """The models in service since `since`; replaced as a whole when a deployment changes."""

    def __init__(self, name: str, primary: LoadedModel, canary: LoadedModel | None, since: datetime) -> None:
        self.primary = primary
        self.canary = canary
        self.since = since
        self._everyone = Arm(name, primary)
        if canary is not None:
            experiment = f"canary-{canary.deployment.version}"
            self._salt = f"{name}:{experiment}"
            self._canary = Arm(name, canary, "canary", experiment)
            self._control = Arm(name, primary, "primary", "control")

    @property
    def versions(self) -> set[str]:
        """The versions that answer."""
        return {model.deployment.version for model in (self.primary, self.canary) if model is not None}

    @property
    def arms(self) -> list[Arm]:
        """All arms."""
        return [self._everyone] if self.canary is None else [self._everyone, self._canary, self._control]

    def arm(self, user_id: int | None) -> Arm:
        """Return the arm of a user: it stays the same as long as the canary's version doesn't change.

        A larger rollout keeps the users of the smaller one; another version's canary gets other users.
        """
        if self.canary is None or user_id is None:
            return self._everyone
        return self._canary if _share(user_id, self._salt) < self.canary.deployment.rollout else self._control


class Models:
    """The models in service now; None until the first bundle is loaded. Swapped by one assignment.

    The shadow answers no user, and is loaded after the models that do.
    """

    def __init__(self) -> None:
        self.serving: Serving | None = None
        self.shadow: LoadedModel | None = None

    def loaded(self, sha256: str) -> LoadedModel | None:
        """Return the model of the bundle with this checksum, if it is in service."""
        serving = self.serving
        models = (self.shadow,) if serving is None else (serving.primary, serving.canary, self.shadow)
        return next((model for model in models if model is not None and model.deployment.sha256 == sha256), None)

    def knows_dataset(self, dataset_id: int) -> bool | None:
        """Return whether a model in service has a dataset in its catalogue; None while there is no model."""
        serving = self.serving
        if serving is None:
            return None
        models = (serving.primary, serving.canary)
        return any(
            model is not None and model.engine.contents.catalogue.position(dataset_id) is not None for model in models
        )


def _share(user_id: int, salt: str) -> float:
    """Return a user's fixed place in 0..1 for one experiment."""
    digest = hashlib.blake2b(f"{salt}:{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
