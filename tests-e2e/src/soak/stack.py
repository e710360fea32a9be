"""The programs of a soak run: real processes on free ports, in a folder of their own, that can be killed and frozen."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from pydantic import SecretStr

from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.collector import CollectorProcess
from testkit.postgres import PostgresServer, running_server
from testkit.processes import ServerProcess
from testkit.redis_server import RedisServer
from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings as SimulatorSettings

CHECKOUT = Path(__file__).parents[3]
ENVIRONMENT = "soak"
START_SECONDS = 120.0
_ANSWER_SECONDS = 5.0
# A Redis call on a busy machine takes longer than the default budget, which is not a fault to report.
_BUDGETS = {"REDIS_BUDGET_MS": "300", "REQUEST_BUDGET_MS": "5000", "QUEUE_BUDGET_MS": "100"}


class Program:
    """A program that a fault can hit; `pid` is that of its main process, None while it is down."""

    def __init__(self, name: str, start: Callable[[], None], kill: Callable[[], None], pid: Callable[[], int]) -> None:
        self.name = name
        self.start = start
        self.kill = kill
        self._pid = pid
        self._frozen: list[psutil.Process] = []

    def tree(self) -> list[psutil.Process]:
        """Return its processes, the main one first; none while it is down."""
        try:
            main = psutil.Process(self._pid())
            return [main, *main.children(recursive=True)]
        except (psutil.NoSuchProcess, RuntimeError):
            return []

    def freeze(self) -> None:
        """Freeze it: connections are accepted, but nothing is answered."""
        # The main process first, so that it starts no other one meanwhile.
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                self._frozen.append(process)

    def thaw(self) -> None:
        """Continue it."""
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._frozen = []


class _Service:
    """One of the four services, always on the same port."""

    def __init__(self, module: str, folder: Path, variables: Mapping[str, str], port: int) -> None:
        self._module = module
        self._folder = folder
        self._variables = {**variables, "PORT": str(port)}
        self.url = f"http://127.0.0.1:{port}"
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Start it and wait for an answer of `/health`."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it without waiting."""
        self._process = ServerProcess(
            (sys.executable, "-m", self._module),
            self._folder / f"{self._module}.log",
            environment=self._variables,
            cwd=str(self._folder),
        )

    def wait(self) -> None:
        """Wait for an answer."""
        process = self._process
        assert process is not None
        wait_until(
            lambda: process.check_alive() and _answers(f"{self.url}/health"),
            within=START_SECONDS,
            what=f"{self._module} answers",
        )

    def kill(self) -> None:
        """Kill it as a crash would."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.end(number)
            self._process = None

    def pid(self) -> int:
        """Return its process id; raises `RuntimeError` while it is down."""
        if self._process is None:
            raise RuntimeError(f"{self._module} is down")
        return self._process.pid


@dataclass(frozen=True)
class Stack:
    """The running programs by name, the addresses of the services, and what the report reads."""

    folder: Path
    programs: Mapping[str, Program]
    urls: Mapping[str, str]
    token: str
    # What a process outside of the services needs to report as one of them.
    monitored: Mapping[str, str]
    simulator: SimulatorServer
    database_url: str
    redis_url: str

    @property
    def collector_database(self) -> Path:
        """The collector's database, a SQLite file."""
        return self.folder / "collector" / "data" / "db.sqlite3"

    @property
    def authorization(self) -> dict[str, str]:
        """The header of a caller who may do everything."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def running_stack(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run all programs in a new folder, the services with further settings; at the end all of them are down."""
    token = secrets.token_hex(20)
    # The mail catcher and the WeChat simulator belong to the run: no fault may hit what it measures with.
    accepted = SimulatorSettings(weixin_corp_secret=SecretStr(secrets.token_hex(20)))
    for name in ("redis", "collector", "tmp"):
        (folder / name).mkdir(parents=True)
    with ExitStack() as held:
        simulator = held.enter_context(SimulatorServer.on_free_port(accepted))
        redis = held.enter_context(RedisServer(folder / "redis"))
        postgres = held.enter_context(running_server())
        postgres.cluster.ensure_database("recsys")
        collector = CollectorProcess(CHECKOUT, folder / "collector")
        # It takes the longest, and the services start without it.
        starting = held.enter_context(ThreadPoolExecutor(1)).submit(held.enter_context, collector)
        database = postgres.cluster.url("recsys")
        ports = Ports.free()
        monitored = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            "ENVIRONMENT": "test",
            "LOG_LEVEL": "WARNING",
            "SENTRY_DSN": collector.dsn,
            "SENTRY_ENVIRONMENT": ENVIRONMENT,
            "GATEWAY_URL": f"http://127.0.0.1:{ports.gateway}",
            "GATEWAY_TOKEN": token,
        }
        common = {
            **monitored,
            "REDIS_URL": redis.url,
            "DATABASE_URL": database,
            "REGISTRY_URL": f"http://127.0.0.1:{ports.registry}",
            **dict.fromkeys(("REGISTRY_TOKEN", "REGISTRY_REPLICA_TOKEN", "ADMIN_TOKEN", "EVENTS_TOKEN"), token),
            **(settings or {}),
        }
        services = {
            "gateway": _service("notification_gateway", folder, common | _messages(accepted, simulator), ports.gateway),
            "registry": _service("model_registry", folder, common, ports.registry),
            "feature-sync": _service("feature_sync", folder, common, ports.sync),
            "recommender": _service("recommender_api", folder, common | _BUDGETS, ports.api),
        }
        for service in services.values():
            held.callback(service.end)
            service.begin()
        for service in services.values():
            service.wait()
        starting.result()
        programs = [
            Program("redis", redis.restart, redis.kill, lambda: redis.pid),
            Program("postgres", postgres.start, lambda: _crash(postgres), lambda: postgres.pid),
            Program("collector", collector.start, lambda: collector.stop(signal.SIGKILL), lambda: collector.pid),
            *(Program(name, each.start, each.kill, each.pid) for name, each in services.items()),
        ]
        # Before the programs end: what is frozen would not.
        for program in programs:
            held.callback(program.thaw)
        yield Stack(
            folder=folder,
            programs={each.name: each for each in programs},
            urls={name: each.url for name, each in services.items()},
            token=token,
            monitored=monitored,
            simulator=simulator,
            database_url=database,
            redis_url=redis.url,
        )


def _service(module: str, folder: Path, variables: Mapping[str, str], port: int) -> _Service:
    own = folder / module
    own.mkdir()
    paths = {
        "SPOOL_DIR": str(own / "spool"),
        "ARTIFACT_URL": str(own / "artifacts"),
        "MODEL_CACHE_DIR": str(own / "models"),
        "EVENT_JOURNAL_DIR": str(own / "journal"),
    }
    return _Service(module, own, {**variables, **paths}, port)


def _messages(accepted: SimulatorSettings, simulator: SimulatorServer) -> dict[str, str]:
    return {
        "ALERT_POLICY": str(CHECKOUT / "deploy" / "alerts.yaml"),
        "WEIXIN_BASE_URL": simulator.url,
        "WEIXIN_CORP_ID": accepted.weixin_corp_id,
        "WEIXIN_CORP_SECRET": accepted.weixin_corp_secret.get_secret_value(),
        "WEIXIN_AGENT_ID": str(accepted.weixin_agent_id),
        "WEIXIN_TO_USER": "alice",
        "SMTP_URL": simulator.smtp_url,
        "ALERT_EMAIL_TO": "team@example.com",
    }


def _crash(postgres: PostgresServer) -> None:
    # At once, with recovery at the next start; SIGKILL would leave its children behind.
    postgres.stop(signal.SIGQUIT)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_ANSWER_SECONDS).is_success
    except httpx.TransportError:
        return False
