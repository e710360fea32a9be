"""pytest for all packages: reports that UTF-8 can express, and a root logger that each test finds as it was."""

import logging
from collections.abc import Generator, Iterator

import pytest


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Remove the handler of a program that a test ran in this process.

    Its stream is closed with the test, and each later log line would be a traceback in another test's output.
    """
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [*root.handlers]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates, which some tests log and UTF-8 can't express."""
    report = yield
    report.sections = [(title, _escaped(text)) for title, text in report.sections]
    if report.failed and _escaped(report.longreprtext) != report.longreprtext:
        report.longrepr = _escaped(report.longreprtext)
    return report


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
