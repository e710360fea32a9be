"""Chooses the page's language: the requested one, the one of the cookie, or the browser's preference."""

import re
from typing import Literal

PageLanguage = Literal["zh", "en"]
MAX_HEADER_CHARS = 500
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")
COOKIE = "dashboard_language"


def choose_language(requested: str | None, cookie: str | None, accept_language: str) -> PageLanguage:
    """Return the language; Chinese is the default."""
    for choice in (requested, cookie):
        if choice == "zh":
            return "zh"
        if choice == "en":
            return "en"
    weights = {"zh": 0.0, "en": 0.0}
    for entry in accept_language[:MAX_HEADER_CHARS].split(","):
        tag, _, parameter = entry.strip().lower().partition(";")
        language = tag.partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(parameter))
    return "en" if weights["en"] > weights["zh"] else "zh"


def _weight(parameter: str) -> float:
    """Return the weight `q` of RFC 9110; 1 if it is missing or invalid."""
    name, _, value = parameter.strip().partition("=")
    return float(value) if name.strip() == "q" and _WEIGHT.fullmatch(value) else 1.0
