"""A service whose port is in use."""

import socket
import sys

from verify.fault_lab import FaultLab
from verify.faults.fault import Fault, Raised


def fire(shop: FaultLab) -> None:
    """See the package."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shop.command([sys.executable, "-m", "model_registry"], {"HOST": "127.0.0.1", "PORT": port})


FAULT = Fault("start", {"api.startup_failed": Raised("model-registry")}, fire)
