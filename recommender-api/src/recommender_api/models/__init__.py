"""Which models are served: the registry's active deployments, fetched, checked, loaded and swapped in."""

from recommender_api.models.cache import BundleCache
from recommender_api.models.registry import Registry
from recommender_api.models.serving import Arm, LoadedModel, Models, Serving
from recommender_api.models.updater import Updater

__all__ = ["Arm", "BundleCache", "LoadedModel", "Models", "Registry", "Serving", "Updater"]
