"""`python -m notification_gateway`."""

import sys

from fastapi import FastAPI

from notification_gateway.app import create_app
from notification_gateway.channels import UnusableChannelError
from notification_gateway.own_signals import OwnSignals
from notification_gateway.policy.channel_names import allowed_channels
from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.settings import Settings, simulator_problem
from notification_gateway.simulators import mark_simulators
from servicekit.run import StartRefusedError, run


def main() -> int:
    """Serve until a stop signal; returns the exit code."""
    own_signals = OwnSignals()

    def create(settings: Settings) -> FastAPI:
        # Checked here, too, so that the message has no traceback, as it would once the server runs.
        try:
            load_policy(settings.alert_policy, allowed_channels(settings.apprise_channels))
            settings = mark_simulators(settings)
            if settings.environment == "production" and settings.simulated:
                raise StartRefusedError(simulator_problem(settings.simulated))
            return create_app(settings, own_signals)
        except (PolicyError, UnusableChannelError) as error:
            raise StartRefusedError(str(error)) from error

    return run("notification-gateway", Settings, create, signal_sink=own_signals)


if __name__ == "__main__":
    sys.exit(main())
