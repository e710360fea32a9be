"""In which language the page is shown: as asked for, as last asked for, or as the browser prefers."""

import re
from typing import Literal

Shown = Literal["zh", "en"]
MAX_HEADER_CHARS = 500
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")
COOKIE = "dashboard_language"


def choose(asked: str | None, remembered: str | None, accepted: str) -> Shown:
    """Return the language; without any wish it is Chinese."""
    for wish in (asked, remembered):
        if wish == "zh":
            return "zh"
        if wish == "en":
            return "en"
    weights = {"zh": 0.0, "en": 0.0}
    for entry in accepted[:MAX_HEADER_CHARS].split(","):
        tag, _, parameter = entry.strip().lower().partition(";")
        language = tag.partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(parameter))
    return "en" if weights["en"] > weights["zh"] else "zh"


def _weight(parameter: str) -> float:
    """Return the `q` of RFC 9110; one that can't be read counts as none given."""
    name, _, value = parameter.strip().partition("=")
    return float(value) if name.strip() == "q" and _WEIGHT.fullmatch(value) else 1.0
