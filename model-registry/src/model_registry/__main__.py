"""`python -m model_registry`: the service."""

import sys

from model_registry.app import SERVICE, create_app
from model_registry.settings import Settings
from servicekit.run import run

sys.exit(run(SERVICE, Settings, create_app))
