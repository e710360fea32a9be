"""Runs the stack, its ten minutes and a browser; each sentence is a line of the result."""

import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError

from bench.results import Goal, Result
from prove.dashboards.browser import PHONE, opened, take_pictures
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
            results = [_judge(name, lambda check=check: check(shown, None)) for name, check in FRESH]
        script = Script(observed, night, own, seed)
        script.begin()
        lived = script.live()
        with opened(url) as shown:
            results += [_judge(name, lambda check=check: check(shown, lived)) for name, check in SENTENCES]
        with opened(url) as light, opened(url, scheme="dark") as dark, opened(url, width=PHONE) as phone:
            for shown, name in ((light, "light"), (dark, "dark"), (phone, "phone")):
                take_pictures(shown, TABS, name, PICTURES)
    return results


def _judge(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except (AssertionError, LookupError, ValueError, StopIteration, PlaywrightError) as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        holds = False
    else:
        holds = True
    return Result(f"dashboards: {name}", float(holds), "holds", Goal(least=1))
