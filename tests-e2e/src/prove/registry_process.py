"""A registry as a process of its own, and its client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from contracts.deployments import DeploymentReceipt, DeploymentRequest
from contracts.model_versions import VersionReceipt
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryRejectedError
from prove.services import SERVICES, running

MODEL = "ranker"
_SERVICE = next(each for each in SERVICES if each.name == "model-registry")
TOKEN = "token-of-this-proof"
# The first call waits until the template has compiled.
_TIMEOUT = httpx.Timeout(180.0, connect=5.0)


@dataclass(frozen=True)
class RegistryProcess:
    """A running registry; `folder` has its database, its store and its temporary files."""

    pid: int
    http: httpx.Client
    folder: Path

    @property
    def client(self) -> RegistryClient:
        """The client of its model."""
        return RegistryClient(self.http.request, MODEL)

    def push_and_deploy(self, archive: Path) -> tuple[VersionReceipt, DeploymentReceipt]:
        """Do as `registryctl push --deploy --force`; raises `RegistryError`."""
        pushed = self.client.push(archive)
        return pushed, self.client.deploy(DeploymentRequest(version=pushed.version, force=True, reason="prove"))

    def warm_up(self, scratch: Path) -> None:
        """Wait until the template of its sandbox is warm."""
        scratch.write_bytes(b"no archive")
        try:
            self.client.push(scratch)
        except RegistryRejectedError as error:
            if error.status != httpx.codes.UNPROCESSABLE_ENTITY:
                raise

    def descendants(self) -> list[int]:
        """Return the ids of its processes: the template, and the checks that run."""
        return _descendants(self.pid)

    def left_over(self) -> list[str]:
        """Return the files of uploads and checks that are not at their place."""
        unpacked = (self.folder / "tmp").glob("recsys-registry-*/*/*")
        partial = (self.folder / "artifacts").rglob("*.partial")
        return [str(path.relative_to(self.folder)) for path in (*unpacked, *partial)]


@contextmanager
def running_registry(folder: Path) -> Iterator[RegistryProcess]:
    """Run a registry in a folder, new or of an earlier run."""
    with running(_SERVICE, folder, "redis://127.0.0.1:1/0", {"REGISTRY_TOKEN": TOKEN}) as process:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{process.port}", headers=headers, timeout=_TIMEOUT) as http:
            yield RegistryProcess(process.pid, http, folder)


def _descendants(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text("ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [each for child in children for each in (child, *_descendants(child))]
