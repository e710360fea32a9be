"""`python -m notification_gateway`."""

import sys

from fastapi import FastAPI

from notification_gateway.app import create_app
from notification_gateway.channels import UnusableChannelError
from notification_gateway.own_signals import OwnSignals
from notification_gateway.policy.channel_names import known_channels
from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.settings import Settings, refusal
from notification_gateway.simulators import mark_simulators
from servicekit.run import StartRefusedError, run


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    own_signals = OwnSignals()

    def create(settings: Settings) -> FastAPI:
        # Here too: what fails once the server runs is logged with its traceback.
        try:
            load_policy(settings.alert_policy, known_channels(settings.apprise_channels))
            settings = mark_simulators(settings)
            if settings.environment == "production" and settings.simulated:
                raise StartRefusedError(refusal(settings.simulated))
            return create_app(settings, own_signals)
        except (PolicyError, UnusableChannelError) as error:
            raise StartRefusedError(str(error)) from error

    return run("notification-gateway", Settings, create, signal_sink=own_signals)


if __name__ == "__main__":
    sys.exit(main())
