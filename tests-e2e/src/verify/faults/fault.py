"""The description of a fault, and the points that it must raise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from verify.fault_lab import FaultLab


@dataclass(frozen=True)
class Raised:
    """The service that reports a point, and whether its event must have a request's id."""

    service: str
    in_request: bool = False


@dataclass(frozen=True)
class Fault:
    """`fire` causes the fault and returns when everything has been reported; raises `FaultNotFiredError`."""

    name: str
    raises: Mapping[str, Raised]
    fire: Callable[[FaultLab], None]
