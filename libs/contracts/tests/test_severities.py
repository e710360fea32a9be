"""A severity is understood in the words of many tools; an unknown word has no level, and the caller decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.severities import parse_severity


@pytest.mark.parametrize(
    "word",
    [
        "Critical",
        "CRITICAL",
        "crit",
        "error",
        "Err",
        "fatal",
        "emergency",
        "emerg",
        "panic",
        "alert",
        "page",
        "P0",
        "p1",
        "P2",
        "sev0",
        "SEV-1",
        "sev_2",
        "severity::1",
        "S1",
        "high",
        "HIGH",
        "highest",
        "urgent",
        "major",
        "disaster",
        "blocker",
        "severe",
        "Alerting",
        "down",
        "严重",
        "紧急",
        "致命",
    ],
)
def test_words_of_urgent_severities_are_errors(word: str) -> None:
    assert parse_severity(word) in ("error", "fatal")


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("warning", "warning"),
        ("WARN", "warning"),
        ("minor", "warning"),
        ("Medium", "warning"),
        ("low", "warning"),
        ("P3", "warning"),
        ("P4", "warning"),
        ("P5", "info"),
        ("info", "info"),
        ("Informational", "info"),
        ("NOTICE", "info"),
        ("none", "info"),
        ("None", "info"),
        ("ok", "info"),
        ("debug", "debug"),
        ("trace", "debug"),
        ("警告", "warning"),
    ],
)
def test_the_known_lower_words_stay_what_they_are(word: str, level: str) -> None:
    assert parse_severity(word) == level


@pytest.mark.parametrize(
    "word", [" critical ", "ＣＲＩＴＩＣＡＬ", "critical!", "🔥 critical", "CR\u0130TICAL", "Critical\n"]
)
def test_case_width_and_what_decorates_a_word_do_not_matter(word: str) -> None:
    assert parse_severity(word) == "error"


@pytest.mark.parametrize(
    "word", ["", " ", "dreadful", "unknown", "null", "P9", "7", "not critical", "infocritical", "\ud800"]
)
def test_an_unknown_word_has_no_level(word: str) -> None:
    assert parse_severity(word) is None


def test_a_text_is_not_cut_to_a_word() -> None:
    assert parse_severity("warning" + " " * 60 + "critical") is None


@given(st.text())
def test_whatever_the_text_there_is_an_answer(text: str) -> None:
    assert parse_severity(text) in (None, "fatal", "error", "warning", "info", "debug")
