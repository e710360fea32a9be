"""Runs the stack, its ten minutes and a browser; each sentence is a line of the result."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError

from bench.results import Goal, Result
from prove.dashboards.browser import DESKTOP, PHONE, Scheme, opened, take_pictures
from prove.dashboards.observed_stack import running_observed_stack
from prove.dashboards.script import Script
from prove.dashboards.sentences import FRESH, SENTENCES, TABS
from soak.night_process import NightProcess

PICTURES = Path(".run/dashboards")


def prove(folder: Path, seed: int) -> list[Result]:
    """Return 1 for each sentence that holds; what contradicts another is printed."""
    own = folder / "script"
    own.mkdir()
    with (
        running_observed_stack(folder / "stack") as observed,
        NightProcess(observed.stack, folder / "night") as night,
    ):
        url = observed.stack.urls["gateway"]
        with opened(url) as shown:
            results = [_judge(name, partial(check, shown, None)) for name, check in FRESH]
        script = Script(observed, night, own, seed)
        script.begin()
        lived = script.live()
        with opened(url) as shown:
            results += [_judge(name, partial(check, shown, lived)) for name, check in SENTENCES]
        _take_pictures(url)
    return results


def _take_pictures(url: str) -> None:
    looks: Sequence[tuple[str, int, Scheme]] = (
        ("light", DESKTOP, "light"),
        ("dark", DESKTOP, "dark"),
        ("phone", PHONE, "light"),
    )
    for name, width, scheme in looks:
        with opened(url, width=width, scheme=scheme) as shown:
            take_pictures(shown, TABS, name, PICTURES)


def _judge(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except (AssertionError, LookupError, ValueError, StopIteration, PlaywrightError) as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        holds = False
    else:
        holds = True
    return Result(f"dashboards: {name}", float(holds), "holds", Goal(least=1))
