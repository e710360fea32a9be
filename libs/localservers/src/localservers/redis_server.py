"""The stack's Redis configuration: acknowledged writes survive `kill -9`, and only keys with a TTL may be evicted."""

from pathlib import Path

import redis

from localservers import executables
from localservers.executables import MissingProgramError


def command(folder: Path, port: int) -> list[str]:
    """Return the server's command line; `folder` holds its append-only file."""
    program = executables.redis_server()
    if program is None:
        raise MissingProgramError("redis-server is missing: apt-get install redis-server")
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "512mb",
        "maxmemory-policy": "volatile-lru",
        "daemonize": "no",
    }
    return [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]


def answers(url: str) -> bool:
    """Return whether Redis answers, and has loaded its data."""
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
