"""A search as text."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.search.results import Confirmation, SearchedData, SearchResult

_ENDED_BY = {"trials": "--trials", "minutes": "--minutes", "interrupt": "Ctrl-C"}
_GAP = "  "


def describe(result: SearchResult) -> Iterator[str]:
    """Yield the lines: the trials, what ended them, and what to do."""
    done = len(result.trials)
    yield f"data: {describe_data(result.data)}"
    yield (
        f"each trial: trained on half of the users, nDCG@10 on {result.queries:,} queries of a quarter of them; "
        f"the current configuration has {result.ndcg:.4f}"
    )
    yield ""
    yield from _table(result)
    yield ""
    yield (
        f"{done} of {result.asked_trials} trials in {result.seconds:,.0f} s with the current configuration and the "
        f"confirmation; ended by {_ENDED_BY[result.ended_by]}"
    )
    yield from _verdict(result)


def describe_trials(result: SearchResult) -> str:
    """Return the number of trials, and what ended them before --trials did."""
    trials = f"{len(result.trials)} trials"
    return trials if result.ended_by == "trials" else f"{trials}, ended by {_ENDED_BY[result.ended_by]}"


def describe_data(data: SearchedData) -> str:
    """Return the size of the data and its time."""
    return (
        f"{data.users:,} users, {data.datasets:,} datasets, {data.interactions:,} interactions from "
        f"{data.first:%Y-%m-%d} to {data.last:%Y-%m-%d}"
    )


def describe_gain(found: Confirmation) -> str:
    """Return the gain of the best trial on the queries that no trial saw."""
    return (
        f"nDCG@10 {found.best:.4f} instead of {found.current:.4f}: {found.gain:+.4f} (95 % {found.low:+.4f} "
        f"to {found.high:+.4f}) on {found.queries:,} queries of {found.users:,} users that no trial saw"
    )


def _table(result: SearchResult) -> Iterator[str]:
    heads = ["trial", "gain", "took", *_short_names(list(result.current))]
    rows = [["current", "", "", *map(_shown, result.current.values())]]
    for trial in result.trials:
        gain = "failed" if trial.gain is None else f"{trial.gain:+.4f}"
        mark = "*" if trial.number == result.best else ""
        rows.append([f"{trial.number}{mark}", gain, f"{trial.seconds:.0f} s", *map(_shown, trial.values.values())])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        yield _GAP.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    for trial in result.trials:
        if trial.failure is not None:
            yield f"trial {trial.number} failed: {trial.failure}"


def _short_names(keys: Sequence[str]) -> list[str]:
    """Return the last name of each key, or the whole key where two have the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _verdict(result: SearchResult) -> Iterator[str]:
    if result.confirmation is None:
        yield "keep the current configuration: no trial was ahead of it"
        return
    yield f"trial {result.best}: {describe_gain(result.confirmation)}"
    if not result.is_better:
        yield "keep the current configuration: the interval is not above 0, so the best trial may be ahead by chance"
        return
    yield "better than the current configuration:"
    for key, value in result.changes.items():
        yield f"  {key}: {_shown(value)} (is {_shown(result.current[key])})"
