"""In which language the page is shown: as asked for, as last asked for, or as the browser prefers."""

from typing import Literal

Shown = Literal["zh", "en"]
COOKIE = "dashboard_language"


def choose(asked: str | None, remembered: str | None, accepted: str) -> Shown:
    """Return the language; without any wish it is Chinese."""
    for wish in (asked, remembered):
        if wish == "zh":
            return "zh"
        if wish == "en":
            return "en"
    first = accepted.partition(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh"
