"""Where Redis is, as `REDIS_URL` says: one server, the master that sentinels know, or a cluster; plain or with TLS.

    redis://[user:password@]host[:port][/db]
    redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db]
    redis+cluster://[user:password@]host[:port][,host[:port]…]

`rediss` in place of `redis` is TLS. Options of redis-py follow as a query (`?ssl_ca_certs=/etc/ca.pem`); sentinels that
want credentials of their own get `sentinel_username` and `sentinel_password`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Literal
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import SentinelConnectionPool

Kind = Literal["server", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {"redis": "server", "redis+sentinel": "sentinel", "redis+cluster": "cluster"}
_PORTS: dict[Kind, int] = {"server": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True)
class RedisTarget:
    """What a Redis URL says; `nodes` are servers, or the sentinels of `service`."""

    kind: Kind
    nodes: tuple[tuple[str, int], ...]
    db: int = 0
    service: str = ""
    tls: bool = False
    # As redis-py takes them: username, password; and its other options.
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    sentinel_credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def secrets(self) -> list[str]:
        """Return the passwords."""
        both = (self.credentials, self.sentinel_credentials)
        return [given["password"] for given in both if given.get("password")]

    def ssl_context(self) -> SSLContext | None:
        """Return what TLS connections are made with; raises `OSError` if a certificate can't be read."""
        if not self.tls:
            return None
        ssl = {name: value for name, value in self.options.items() if name.startswith("ssl_")}
        context: SSLContext = SSLConnection(**ssl).ssl_context.get()
        return context


def parse(url: str) -> RedisTarget:
    """Read a URL; raises `ValueError`, which never quotes it: it may hold a password."""
    parts = urlsplit(url)
    tls = parts.scheme.startswith("rediss")
    kind = _KINDS.get(parts.scheme.replace("rediss", "redis", 1))
    if kind is None:
        raise ValueError("a Redis URL begins with redis://, redis+sentinel:// or redis+cluster://, or rediss… for TLS")
    userinfo, at, hosts = parts.netloc.rpartition("@")
    # redis-py knows which of its options are numbers and which are yes or no.
    options: dict[str, Any] = dict(parse_url(f"redis://{userinfo}{at}host?{parts.query}"))
    del options["host"]
    path = [part for part in parts.path.split("/") if part]
    service = path.pop(0) if kind == "sentinel" and path else ""
    if kind == "sentinel" and not service:
        raise ValueError("a redis+sentinel:// URL names its service: …host:port/service")
    db = options.pop("db", path[0] if path else 0)
    if len(path) > 1 or not str(db).isdigit() or (kind == "cluster" and int(db) != 0):
        raise ValueError("the last part of a Redis URL's path is the number of a database; a cluster has none")
    return RedisTarget(
        kind,
        tuple(_node(text, _PORTS[kind]) for text in hosts.split(",")),
        int(db),
        service,
        tls,
        {name: options.pop(name) for name in ("username", "password") if name in options},
        {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options},
        options,
    )


def checked(url: str) -> str:
    """Return a URL that `parse` can read, for settings; raises `ValueError`."""
    parse(url)
    return url


def connect(target: RedisTarget, **settings: Any) -> Redis | RedisCluster:
    """Return redis-py's client; `settings` are its constructor's (timeouts, retries)."""
    ssl: dict[str, Any] = {**target.options, "ssl": target.tls, **settings}
    server = {**ssl, **target.credentials}
    if target.kind == "cluster":
        return RedisCluster(startup_nodes=[ClusterNode(host, port) for host, port in target.nodes], **server)
    if target.kind == "sentinel":
        sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's
            target.nodes, sentinel_kwargs={**ssl, **target.sentinel_credentials}
        )
        master: Redis = sentinels.master_for(target.service, db=target.db, **server)
        return master
    ((host, port),) = target.nodes
    return Redis(host=host, port=port, db=target.db, **server)


async def disconnect(client: Redis | RedisCluster) -> None:
    """Close all of a client's connections, those to sentinels included."""
    await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


def _node(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port or default_port
    except ValueError as error:
        raise ValueError("a node of a Redis URL is host or host:port") from error
    return parts.hostname or "localhost", port
