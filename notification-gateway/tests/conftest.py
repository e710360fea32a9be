from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running_gateway import SIMULATED, MailServer, Receiver, SteppedGateway, Watch, Wechat, settings
from wechat_simulator.server import SimulatorServer


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/recsys.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/recsys.db"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def stepped(database_url: str, watch: Watch) -> Iterator[SteppedGateway]:
    """A gateway without channels, on either database."""
    gateway = SteppedGateway(settings(database_url), watch)
    yield gateway
    gateway.close()


@pytest.fixture
def step_with(sqlite_url: str, watch: Watch) -> Iterator[Callable[..., SteppedGateway]]:
    """Make a gateway with settings of the test's own."""
    made: list[SteppedGateway] = []

    def make(**more: Any) -> SteppedGateway:
        made.append(SteppedGateway(settings(sqlite_url, **more), watch))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer.on_free_port(SIMULATED) as server:
        yield server


@pytest.fixture
def wechat(simulator: SimulatorServer) -> Iterator[Wechat]:
    """An empty WeChat Work."""
    control = Wechat(simulator.url)
    control.reset()
    yield control
    control.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server
