"""Which port each program listens on: the documented ones, or free ones for a stack beside another."""

import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Ports:
    """The documented ports; all on 127.0.0.1. Redis and PostgreSQL keep off the ports of a system's own."""

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
            # Held together, so that no two get the same one.
            sockets = [held.enter_context(socket.socket()) for _ in fields(cls)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            numbers = [int(each.getsockname()[1]) for each in sockets]
        return cls(*numbers)

    def taken(self) -> list[str]:
        """Return what can't listen, as `name (port)`, because something else does."""
        found = []
        for name, port in asdict(self).items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    found.append(f"{name} ({port})")
        return found
