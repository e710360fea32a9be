"""The dashboards in a browser, whose time zone is not that of the pages."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from localservers.executables import chromium

DESKTOP, PHONE = 1280, 390
_HEIGHT = 900
_FAR_ZONE = "America/New_York"
Language = Literal["zh", "en"]
Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Chart:
    """What a chart shows: Unix seconds or indexes, and the values of each series by its label."""

    x: Sequence[float]
    series: dict[str, Sequence[float | None]]
    low: dict[str, Sequence[float | None]]

    def largest(self, label: str, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the largest value of a series from one moment to another, 0 without one."""
        values = zip(self.x, self.series.get(label, ()), strict=False)
        return max((value for at, value in values if value is not None and begin <= at <= end), default=0.0)


class Dashboards:
    """Opens the tabs of one gateway."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    def open(self, tab: str, language: Language = "en") -> Locator:
        """Open a tab, and return its content once its charts are drawn."""
        response = self.page.goto(f"{self._url}/dashboard/{tab}?lang={language}")
        assert response is not None
        assert response.ok, f"{tab}: HTTP {response.status}"
        for chart in self.page.locator(".chart").all():
            chart.locator("canvas").wait_for()
        return self.page.locator("main")

    def size(self, tab: str) -> int:
        """Return the bytes of a tab's page."""
        response = self.page.request.get(f"{self._url}/dashboard/{tab}")
        assert response.ok, response.status
        return len(response.body())

    def section(self, title: str) -> Locator:
        """Return the panel of the open tab with a heading, which may have a note after it."""
        found = self.page.locator(f"xpath=//h2[normalize-space(text()[1])='{title}']/ancestor::section[1]")
        assert found.count() == 1, f"{found.count()} panels are called {title}"
        return found

    def rows(self, title: str) -> list[list[str]]:
        """Return the cells of each row of a panel's table."""
        rows = self.section(title).locator("tbody tr").all_inner_texts()
        return [[cell.strip() for cell in row.split("\t")] for row in rows]

    def chart(self, title: str) -> Chart:
        """Return what a panel's chart shows; the chart is drawn."""
        box = self.section(title).locator(".chart")
        assert box.count() == 1, f"{title} has no chart: {self.section(title).inner_text()!r}"
        assert _is_painted(box), f"the chart of {title} is blank"
        data: dict[str, Any] = json.loads(box.get_attribute("data-chart") or "")
        named = {each["label"]: each for each in data["series"]}
        return Chart(
            data["x"],
            {label: each["values"] for label, each in named.items()},
            {label: each["low"] for label, each in named.items() if each["low"]},
        )

    def tile(self, title: str) -> str:
        """Return the figure of a tile."""
        found = self.page.locator(".tile", has=self.page.locator("span", has_text=re.compile(f"^{re.escape(title)}")))
        assert found.count() == 1, f"{found.count()} tiles are called {title}"
        return found.locator("b").inner_text()

    def empty_panels(self) -> list[str]:
        """Return the texts of the panels of the open tab that have nothing to show."""
        return self.page.locator(".empty").all_inner_texts()


@contextmanager
def opened(url: str, *, width: int = DESKTOP, scheme: Scheme = "light") -> Iterator[Dashboards]:
    """Open a browser for the length of a block; raises `AssertionError` if a page has logged an error."""
    program = chromium()
    assert program is not None, "chromium is missing: run `python -m native prerequisites`"
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        context = browser.new_context(
            timezone_id=_FAR_ZONE, viewport={"width": width, "height": _HEIGHT}, color_scheme=scheme
        )
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            yield Dashboards(page, url)
        finally:
            browser.close()
        assert not errors, errors


def take_pictures(dashboards: Dashboards, tabs: Sequence[str], name: str, folder: Path) -> None:
    """Take a picture of each tab in both languages."""
    folder.mkdir(parents=True, exist_ok=True)
    languages: Sequence[Language] = ("zh", "en")
    for language in languages:
        for tab in tabs:
            dashboards.open(tab, language)
            dashboards.page.screenshot(path=folder / f"{tab}-{language}-{name}.png", full_page=True)


def _is_painted(box: Locator) -> bool:
    return bool(
        box.locator("canvas").evaluate(
            "(it) => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some((each) => each)"
        )
    )
