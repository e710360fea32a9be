"""Real Redis in other topologies: with TLS, behind sentinels, as a cluster."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
import trustme

from localservers.executables import MissingProgramError
from localservers.executables import redis_server as redis_program
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.processes import ServerProcess
from testkit.redis_server import RedisServer

SERVICE = "mymaster"
_TIMEOUT_SECONDS = 5.0
_NODES = 3
_SLOTS = 16384


@contextmanager
def with_tls(folder: Path) -> Iterator[RedisServer]:
    """Run a server that only accepts TLS; its URL names the authority of its certificate."""
    authority, certificate = _certificates(folder)
    options = {
        "port": "0",
        "tls-port": "{port}",
        "tls-cert-file": str(certificate),
        "tls-key-file": str(certificate),
        "tls-ca-cert-file": str(authority),
        "tls-auth-clients": "no",
    }
    with RedisServer(folder, options, url=f"rediss://127.0.0.1:{{port}}/0?ssl_ca_certs={authority}") as server:
        yield server


class SentinelSetup(NamedTuple):
    """A master and its replica, and the ports of the sentinels that watch them."""

    servers: tuple[RedisServer, RedisServer]
    sentinels: list[int]

    @property
    def url(self) -> str:
        """The URL of the service."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.sentinels) + f"/{SERVICE}"

    def master(self) -> RedisServer:
        """Return the current master according to the sentinels."""
        with _client(self.sentinels[0]) as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        (found,) = [server for server in self.servers if server.port == port]
        return found


@contextmanager
def behind_sentinels(folder: Path) -> Iterator[SentinelSetup]:
    """Run a master, a replica and three sentinels that declare a master dead after half a second."""
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer(_make_folder(folder / "master")))
        replica = stack.enter_context(
            RedisServer(
                _make_folder(folder / "replica"),
                {"replicaof": f"127.0.0.1 {master.port}", "repl-ping-replica-period": "1"},
            )
        )
        ports = [_sentinel(stack, _make_folder(folder / f"sentinel{number}"), master.port) for number in range(_NODES)]
        for port in ports:
            _wait_for_sentinel(port)
        yield SentinelSetup((master, replica), ports)


@contextmanager
def as_cluster(folder: Path) -> Iterator[list[RedisServer]]:
    """Run three masters that share the slots."""
    with ExitStack() as stack:
        nodes = []
        for number in range(_NODES):
            bus = Ports.free().redis
            options = {"cluster-enabled": "yes", "cluster-port": str(bus), "cluster-node-timeout": "1000"}
            nodes.append((stack.enter_context(RedisServer(_make_folder(folder / f"node{number}"), options)), bus))
        bounds = [_SLOTS * number // _NODES for number in range(_NODES + 1)]
        for number, (node, _) in enumerate(nodes):
            with _client(node.port) as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                for other, bus in nodes[:number]:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        wait_until(
            lambda: all(_has_joined(node.port) for node, _ in nodes), within=60, every=0.05, what="a complete cluster"
        )
        yield [node for node, _ in nodes]


def cluster_url(nodes: list[RedisServer]) -> str:
    """Return the URL of a cluster."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def _has_joined(port: int) -> bool:
    with _client(port) as client:
        info: bytes = client.execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d\r" % _NODES in info


def _sentinel(stack: ExitStack, folder: Path, master: int) -> int:
    program = redis_program()
    if program is None:
        raise MissingProgramError("redis-server is missing: apt-get install redis-server")
    port = Ports.free().redis
    settings = folder / "sentinel.conf"
    # It stores its state there.
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\n"
        f"sentinel failover-timeout {SERVICE} 2000\n",
        encoding="utf-8",
    )
    process = ServerProcess([str(program), str(settings), "--sentinel"], folder / "sentinel.log")
    stack.callback(process.end)
    return port


def _wait_for_sentinel(port: int) -> None:
    def knows_all() -> bool:
        try:
            with _client(port) as client:
                state = client.sentinel_master(SERVICE)
        except redis.RedisError:
            return False
        return bool(state["num-other-sentinels"] == _NODES - 1 and state["num-slaves"] == 1)

    wait_until(knows_all, within=60, every=0.1, what="the sentinels know one another and the replica")


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=_TIMEOUT_SECONDS)


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Create an authority, and a certificate of it for 127.0.0.1 with its key."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    made.private_key_and_cert_chain_pem.write_to_path(folder / "redis.pem")
    return folder / "ca.pem", folder / "redis.pem"
