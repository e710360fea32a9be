"""What an event says of the process it comes from: operating system, Python, installed packages. Read when needed."""

import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

MAX_MODULES = 500


@cache
def os_context() -> Mapping[str, str]:
    """Return the event's context `os`: the kernel, and the distribution where there is one."""
    context = {"type": "os", "name": platform.system(), "version": platform.release()}
    with suppress(OSError):
        distribution = platform.freedesktop_os_release()
        context["distribution_name"] = distribution["NAME"]
        context["distribution_version"] = distribution.get("VERSION_ID", "")
    return context


@cache
def runtime_context() -> Mapping[str, str]:
    """Return the event's context `runtime`: the Python."""
    return {
        "type": "runtime",
        "name": platform.python_implementation(),
        "version": platform.python_version(),
        "build": sys.version,
    }


@cache
def installed_modules() -> Mapping[str, str]:
    """Return the versions of the installed packages by name, 500 at most.

    Taken from the names of their folders: to parse every package's metadata takes fifty times as long.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        with suppress(OSError):
            for path in Path(folder).glob("*.dist-info"):
                name, _, version = path.stem.partition("-")
                found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items())[:MAX_MODULES])


def add_platform(event: dict[str, Any]) -> None:
    """Add the contexts `os` and `runtime` to an event that does not have them."""
    contexts = event.setdefault("contexts", {})
    contexts.setdefault("os", os_context())
    contexts.setdefault("runtime", runtime_context())


def add_modules(event: dict[str, Any]) -> None:
    """Add the installed packages to an event that does not have them."""
    event.setdefault("modules", installed_modules())
