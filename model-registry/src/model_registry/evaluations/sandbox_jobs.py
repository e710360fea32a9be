"""Asks the sandbox about evaluation parts, a few at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.text import repair_text
from model_registry.bundle_checks.service import MAX_DETAIL
from model_registry.errors import UnavailableError
from model_registry.sandbox.client import Sandbox, SandboxUnavailableError, WorkDiedError
from model_registry.sandbox.slots import Slots


class UnusablePartError(ValueError):
    """A part can't be read or scored; the message says why."""


class ComparisonDiedError(RuntimeError):
    """The process that compared models has died; the message says what it did, with which of them."""


@dataclass(frozen=True)
class PairComparison:
    """A candidate against one version: means of nDCG@10 of the `first` (that version) and the `second`.

    `low` and `high` are the 95 % interval of the difference, second minus first. `document` has all figures, as
    `ModelComparison` writes them, and whose queries were `asked`. `not_comparable` says why there are no numbers,
    `unusable` that the version's part is not usable in this release.
    """

    queries: int = 0
    first: float = 0.0
    second: float = 0.0
    low: float = 0.0
    high: float = 0.0
    not_comparable: str | None = None
    unusable: str | None = None
    document: Mapping[str, Any] | None = None


class PartScoring:
    """Reads and scores parts in processes that may die of them; raises `BusyError` and `UnavailableError`."""

    def __init__(self, sandbox: Sandbox, slots: Slots) -> None:
        self._sandbox = sandbox
        self._slots = slots

    def summarize(self, path: Path) -> Mapping[str, Any]:
        """Return what a part says of itself, see `scoring.check_part`; raises `UnusablePartError`."""
        found: dict[str, Any] = {}
        try:
            self._run({"job": "evaluation", "path": str(path)}, path.with_name("printed"), found)
        except WorkDiedError as error:
            raise UnusablePartError(f"the process that scored it was {error}") from error
        if "summary" not in found:
            raise UnusablePartError(_text(found.get("unusable", "the process that read it said nothing")))
        summary: Mapping[str, Any] = found["summary"]
        return summary

    def compare(
        self, name: str, candidate: Path, references: Mapping[str, Path], tolerance: float
    ) -> dict[str, PairComparison]:
        """Compare a candidate with versions, by their name.

        Raises `UnusablePartError` for the candidate, and `ComparisonDiedError`.
        """
        arguments = {
            "job": "comparison",
            "name": name,
            "candidate": str(candidate),
            "references": {each: str(path) for each, path in references.items()},
            "tolerance": tolerance,
        }
        found: dict[str, Any] = {}
        try:
            self._run(arguments, candidate.with_name("printed"), found)
        except WorkDiedError as error:
            doing = found.get("doing", "began")
            raise ComparisonDiedError(_text(f"the process was {error}, while it {doing}")) from error
        if "unusable" in found:
            raise UnusablePartError(_text(found["unusable"]))
        return {each: _comparison(found[each]) for each in references if each in found}

    def _run(self, arguments: Mapping[str, Any], log: Path, found: dict[str, Any]) -> None:
        def receive(message: Mapping[str, Any]) -> None:
            found.update({message["reference"]: message} if "reference" in message else message)

        with self._slots.slot():
            try:
                self._sandbox.run(arguments, log, receive)
            except SandboxUnavailableError as error:
                raise UnavailableError(str(error)) from error


def _comparison(message: Mapping[str, Any]) -> PairComparison:
    if "comparison" not in message:
        return PairComparison(
            not_comparable=_text(message["not_comparable"]) if "not_comparable" in message else None,
            unusable=_text(message["unusable"]) if "unusable" in message else None,
        )
    found = message["comparison"]
    return PairComparison(
        **{name: found[name] for name in ("queries", "first", "second", "low", "high")}, document=found
    )


def _text(quoted: str) -> str:
    # It quotes the part: names, values, errors of libraries.
    return repair_text(quoted, MAX_DETAIL)
