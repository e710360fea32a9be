"""The folders of a stack and the parts that it runs."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from localservers.ports import Ports


@dataclass(frozen=True)
class StackConfig:
    """One stack of the checkout `root`, with all its state below `run`."""

    root: Path
    run: Path
    ports: Ports = field(default_factory=Ports)
    demo_sizes: tuple[int, int, int] = (2000, 5000, 200_000)
    demo: bool = True

    @property
    def id(self) -> str:
        """A short name of this stack, for files outside of `run`."""
        return hashlib.sha256(str(self.run).encode()).hexdigest()[:12]

    @property
    def postgres_data(self) -> Path:
        """The cluster's folder: as root outside of the checkout, to which the user `postgres` has no access."""
        if os.geteuid() == 0:
            return Path("/var/lib/recsys") / self.id / "postgres"
        return self.run / "postgres"

    @property
    def logs(self) -> Path:
        """The folder of the programs' logs."""
        return self.run / "logs"

    @property
    def environment_file(self) -> Path:
        """The file of generated and derived variables, 0600."""
        return self.run / "env"

    def python(self, name: str) -> str:
        """Return the Python of one of the locked environments."""
        return str(self.root / ".venvs" / name / "bin" / "python")
