"""The work of the sandbox with evaluation parts: reads one, and compares two models. Runs in a process that may die."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_registry.sandbox.channel import Channel
from ranking.evaluation import (
    ComparedModel,
    EvaluationPart,
    NotComparableError,
    RankingModel,
    UnusablePartError,
    choose_queries,
    compare,
    query_gains,
    read_part,
)
from ranking.ranker import UnusableRankerError
from ranking.testing import Size, tiny_part

# By the ids of part and model; both are kept, so that no id is used twice.
_Scored = dict[tuple[int, int], tuple[EvaluationPart, RankingModel, NDArray[np.float64]]]


def warm_up() -> None:
    """Score a small part."""
    small = tiny_part(queries=10, size=Size(datasets=40, trees=2))
    query_gains(small, small.twin)


def check_part(arguments: Mapping[str, Any], channel: Channel) -> None:
    """Read and score the part `path`. One message: `summary`, what it says of itself, or `unusable`, the reason."""
    try:
        part = _read(arguments["path"])
        found = compare(part, part.twin, part.twin)
    except (UnusablePartError, UnusableRankerError, NotComparableError) as error:
        channel.send(unusable=str(error))
        return
    manifest = part.manifest
    summary = {
        "name": manifest.name,
        "run_id": manifest.run_id,
        "cut": manifest.cut.isoformat(),
        "queries": found.queries,
        "ndcg@10": round(found.first, 5),
    }
    channel.send(summary=summary)


def compare_parts(arguments: Mapping[str, Any], channel: Channel) -> None:
    """Compare the twin of the part `candidate` with those of `references`, paths by name.

    A message for each: its name as `reference`, with `comparison`, `not_comparable` or `unusable`. One `unusable`
    without a name is about the candidate. `doing` says what comes next, in case that the process dies of it.
    """
    own_name = arguments["name"]
    channel.send(doing=f"read the evaluation part of {own_name}")
    try:
        candidate = _read(arguments["candidate"])
    except UnusablePartError as error:
        channel.send(unusable=str(error))
        return
    comparing = _Comparing(ComparedModel(own_name, candidate.twin, candidate), arguments["tolerance"], channel, {})
    for name, path in arguments["references"].items():
        channel.send(reference=name, **_compare(name, path, comparing))


class _Comparing(NamedTuple):
    """The candidate, and the gains that are known."""

    candidate: ComparedModel
    tolerance: float
    channel: Channel
    scored: _Scored


def _compare(name: str, path: str, comparing: _Comparing) -> dict[str, Any]:
    second, channel = comparing.candidate, comparing.channel
    channel.send(doing=f"read the evaluation part of {name}")
    try:
        reference = _read(path)
        first = ComparedModel(name, reference.twin, reference)
        asked, part = choose_queries(first, second)

        def score(part: EvaluationPart, model: RankingModel) -> NDArray[np.float64]:
            scored_name = first.name if model is first.model else second.name
            channel.send(doing=f"scored the model of {scored_name} on the queries of {asked}")
            return _score(comparing.scored, part, model)

        found = compare(part, first.model, second.model, tolerance=comparing.tolerance, score=score)
    except UnusablePartError as error:
        return {"unusable": str(error)}
    except (NotComparableError, UnusableRankerError) as error:
        return {"not_comparable": str(error)}
    return {"comparison": found.document() | {"asked": asked}}


def _score(scored: _Scored, part: EvaluationPart, model: RankingModel) -> NDArray[np.float64]:
    """Return the gains; the candidate's are computed once for all references that are asked its queries."""
    key = id(part), id(model)
    if key not in scored:
        scored[key] = part, model, query_gains(part, model)
    return scored[key][-1]


def _read(path: str) -> EvaluationPart:
    """Read a part; the message of an error names its entry, and no path of this machine."""
    try:
        return read_part(Path(path))
    except UnusablePartError as error:
        raise UnusablePartError(str(error).removeprefix(f"{path}: ")) from error
