"""`python -m wechat_simulator`."""

import socket
import sys

from pydantic import ValidationError

from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings


def main() -> int:
    """Run the simulator; returns the exit code."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"wechat-simulator: unusable settings:\n{error}\n")
        return 2
    try:
        listener = socket.create_server((settings.host, settings.port))
        mail_listener = socket.create_server((settings.host, settings.smtp_port))
    except OSError as error:
        sys.stderr.write(f"wechat-simulator: can't listen: {error.strerror}\n")
        return 1
    SimulatorServer(settings, listener, mail_listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
