"""`python -m feature_sync`: the worker; with `dead-letters`, see `feature_sync.cli`."""

import sys

from feature_sync import cli
from feature_sync.app import SERVICE, create_app
from feature_sync.settings import Settings
from servicekit.run import run

if sys.argv[1:2] == ["dead-letters"]:
    sys.exit(cli.main(sys.argv[2:]))
sys.exit(run(SERVICE, Settings, create_app))
