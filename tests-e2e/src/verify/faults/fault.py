"""What a fault is, and which points it must raise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from verify.fault_lab import FaultLab


@dataclass(frozen=True)
class Raised:
    """Who reports a point, and whether it does so under a request, whose id the event then carries."""

    service: str
    in_request: bool = False


@dataclass(frozen=True)
class Fault:
    """`fire` makes it happen and returns when all of it has been reported; raises `FaultNotFiredError`."""

    name: str
    raises: Mapping[str, Raised]
    fire: Callable[[FaultLab], None]
