"""Runs `python -m pipeline` on the stack's databases."""

import subprocess
from collections.abc import Mapping

from native.config import StackConfig
from provisioning.first_model import TrainingFailedError


def run(config: StackConfig, environment: Mapping[str, str], *arguments: str) -> None:
    """Run one command of the pipeline; raises `TrainingFailedError`."""
    command = [config.python("services"), "-m", "pipeline", *arguments]
    done = subprocess.run(command, env=dict(environment), cwd=config.root, check=False)
    if done.returncode:
        raise TrainingFailedError(f"`python -m pipeline {' '.join(arguments)}` ended with {done.returncode}")


def load_demo_data(config: StackConfig, environment: Mapping[str, str]) -> None:
    """Fill an empty business database with demo data."""
    sizes = zip(("--datasets", "--users", "--interactions"), config.demo_sizes, strict=True)
    run(config, environment, "demo", "--if-empty", *(str(part) for pair in sizes for part in pair))
