"""The services whose settings and HTTP interfaces the reference pages describe."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI

import feature_sync.app
import feature_sync.settings
import model_registry.app
import model_registry.settings
import notification_gateway.app
import notification_gateway.settings
import recommender_api.app
import recommender_api.settings
from servicekit.settings import ServiceSettings


class Service(NamedTuple):
    """A service's name, its Settings class and its composition root."""

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Any], FastAPI]


SERVICES = (
    Service("recommender-api", recommender_api.settings.Settings, recommender_api.app.create_app),
    Service("model-registry", model_registry.settings.Settings, model_registry.app.create_app),
    Service("feature-sync", feature_sync.settings.Settings, feature_sync.app.create_app),
    Service("notification-gateway", notification_gateway.settings.Settings, notification_gateway.app.create_app),
)
