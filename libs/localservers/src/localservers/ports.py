"""The port of each program: the documented ones, or free ones for a second stack."""

import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Ports:
    """The documented ports; all on 127.0.0.1. Redis and PostgreSQL avoid the ports of the system's own servers."""

    redis: int = 16379
    postgres: int = 15432
    api: int = 8000
    registry: int = 8001
    sync: int = 8002
    gateway: int = 8003
    simulator: int = 8010
    mail: int = 8025
    airflow: int = 8080
    collector: int = 9000
    prometheus: int = 9090

    @classmethod
    def free(cls) -> "Ports":
        """Return ports that nothing listens on now."""
        with ExitStack() as held:
            # Opened at the same time, so that no two get the same port.
            sockets = [held.enter_context(socket.socket()) for _ in fields(cls)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            numbers = [int(each.getsockname()[1]) for each in sockets]
        return cls(*numbers)

    def in_use(self) -> list[str]:
        """Return the ports that are in use, as `name (port)`."""
        found = []
        for name, port in asdict(self).items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    found.append(f"{name} ({port})")
        return found
