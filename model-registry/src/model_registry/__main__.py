"""`python -m model_registry`: the service."""

import sys

from fastapi import FastAPI

from contracts.bundle_signing import UnusableKeyError
from model_registry.app import SERVICE, create_app
from model_registry.settings import Settings
from servicekit.run import StartRefusedError, run


def _create(settings: Settings) -> FastAPI:
    try:
        return create_app(settings)
    except UnusableKeyError as error:
        raise StartRefusedError(f"TRUSTED_KEYS: {error}") from error


sys.exit(run(SERVICE, Settings, _create))
