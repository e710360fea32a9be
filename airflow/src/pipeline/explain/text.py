"""An explanation as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.explain.explanation import Explanation, WeightChoice
from pipeline.feedback.text import describe_feedback
from pipeline.steps import step_table
from pipeline.train.order import RANKER


def describe(found: Explanation) -> Iterator[str]:
    """Yield the lines: the steps, the data, the channels, the queries, and what was chosen."""
    end = "with deployment" if found.publish else "without deployment"
    word = "refresh" if found.kind == "refresh" else "run"
    yield f"{word} {found.run_id}, as of {found.as_of.isoformat()}, {end}"
    yield from step_table(found.steps)
    if found.kind == "refresh":
        yield ""
        yield "a refresh trains nothing: it keeps the ranker and the shape of the model in service"
        return
    yield ""
    yield from _data(found)
    if found.history is not None:
        yield from (_weight(name, choice) for name, choice in found.history.items())
    yield "order: not trained yet" if found.order is None else _order(found.order)
    if found.feedback is not None:
        yield from describe_feedback(found.feedback)


def _data(found: Explanation) -> Iterator[str]:
    if found.data_error is not None:
        yield f"data: {found.data_error}"
        return
    if found.data is None or found.queries is None or found.costs is None:
        yield "data: not complete; the steps extract, quality and features make it"
        return
    data = found.data
    period = "" if data.first is None or data.last is None else f", {data.first:%Y-%m-%d} to {data.last:%Y-%m-%d}"
    yield (
        f"data: {data.users:,} users, {data.datasets:,} datasets, {data.interactions:,} interactions without exposures"
        f"{period}"
    )
    yield "channels:"
    for each in found.channels:
        reason = f": {each.reason}" if each.reason else ""
        yield f"  {each.channel:<12} {each.state:<8} at most {each.size:>3}, by {each.made_by}{reason}"
    for half, names in found.columns.items():
        if names:
            yield f"declared columns of {half}: {', '.join(names)}"
    queries = found.queries
    yield (
        f"training queries: {queries.about_last_datasets:,} about the last datasets of users, {queries.late:,} of the "
        f"newest; at most {queries.most:,}"
    )
    costs = found.costs
    yield (
        f"expected: recall about {_size(costs.recall_mb)}, train about {_size(costs.train_mb)} and "
        f"{costs.train_seconds:,} CPU seconds"
    )


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB"


def _weight(name: str, choice: WeightChoice) -> str:
    tried = ", ".join(f"{value}: {score:.4f}" for value, score in choice.scores.items())
    return f"{name}: {choice.chosen:g}" + (f" (nDCG@10 of the votes {tried})" if tried else " (nothing was tried)")


def _order(order: Mapping[str, Any]) -> str:
    compared = order["comparison"]
    ahead = compared["ranker"] - compared["simple"]
    numbers = (
        f"nDCG@10 {compared['ranker']:.4f} against {compared['simple']:.4f} of {compared['simple_order']}, on "
        f"{compared['queries']:,} queries that neither has seen (difference {ahead:+.4f}, "
        f"95 % {compared['low']:+.4f} to {compared['high']:+.4f})"
    )
    if order["name"] == RANKER:
        trees = f"{compared['trees']} trees" + (" on top of a linear model" if compared["linear"] else "")
        return f"order: the ranker ({trees}), {numbers}"
    return f"order: {order['name']}, because the ranker is not ahead of it: {numbers}"
