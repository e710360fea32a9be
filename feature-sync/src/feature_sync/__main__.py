"""`python -m feature_sync`: the worker."""

import sys

from feature_sync.app import SERVICE, create_app
from feature_sync.settings import Settings
from servicekit.run import run

sys.exit(run(SERVICE, Settings, create_app))
