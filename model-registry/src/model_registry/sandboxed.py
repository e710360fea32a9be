"""The jobs of the sandbox: whatever they import is loaded once, in the template, and each job runs in a fork of it."""

from collections.abc import Callable, Mapping
from typing import Any

from model_registry.bundle_checks import content
from model_registry.evaluations import scoring
from model_registry.sandbox.channel import Channel

_JOBS: Mapping[str, Callable[[Mapping[str, Any], Channel], None]] = {
    "bundle": content.work,
    "evaluation": scoring.check_part,
    "comparison": scoring.compare_parts,
}


def warm_up() -> None:
    """Do a small job of each kind: what is compiled for it is there in every fork."""
    content.warm_up()
    scoring.warm_up()


def work(arguments: Mapping[str, Any], channel: Channel) -> None:
    """Do the job that `arguments` name."""
    _JOBS[arguments["job"]](arguments, channel)
