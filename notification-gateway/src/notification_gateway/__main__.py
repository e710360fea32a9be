"""`python -m notification_gateway`."""

import sys
from functools import partial

from notification_gateway.app import create_app
from notification_gateway.own_signals import OwnSignals
from notification_gateway.settings import Settings
from servicekit.run import run

if __name__ == "__main__":
    own_signals = OwnSignals()
    sys.exit(
        run(
            "notification-gateway",
            Settings,
            partial(create_app, own_signals=own_signals),
            signal_sink=own_signals,
        )
    )
