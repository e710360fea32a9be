"""`python -m pipeline compare` on 200,000 interactions: six seeds of the same data, and models made 5 % worse.

Six seeds train six models of one quality. Each of their 30 ordered pairs is compared, on the queries of the second.
Then nDCG of the second is lowered by 5 % of the first's, by exchanging ranks, and 100 resamples of 4,000 queries are
compared: once with the same model, and once over all pairs of seeds, whose models differ anyway.
"""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.results import Goal, Result
from pipeline.demo import DemoSize, generate
from pipeline.evaluate import PART, PartSettings, write_evaluation_part
from pipeline.evaluate.part import Holdout
from pipeline.evaluate.split import five_core, global_split
from pipeline.features.items import item_state
from pipeline.recall import content_neighbours
from pipeline.records import Records
from pipeline.train import TrainSettings
from pipeline.train.model import train_model
from prove.evaluation import load_content
from ranking.diversity import DiversitySettings
from ranking.evaluation import EvaluationPart, ModelVerdict, compare_gains, query_gains, read_part
from ranking.evaluation.part import MAX_BYTES
from ranking.recall import RecallSettings

_END = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEDS = 6
RESAMPLES = 100
QUERIES = 4000
_WORSE = 0.05
_AT = 10
_DOWN = 5

Gains = NDArray[np.float64]


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the verdicts by kind of pair."""
    records = load_content(generate(DemoSize(), seed % 2**31, _END), folder / "marketplace")
    parts, sizes = [], []
    for number in range(1, SEEDS + 1):
        place = folder / f"seed-{number}"
        place.mkdir()
        write_evaluation_part(hold_out(records, number), part_settings(number), place)
        sizes.append((place / PART).stat().st_size)
        parts.append(read_part(place / PART))
    gains = [[query_gains(part, other.twin) for other in parts] for part in parts]
    pairs = [*permutations(range(SEEDS), 2)]
    verdicts = [compare_gains(parts[b], (gains[b][a], gains[b][b])).verdict for a, b in pairs]
    rng = np.random.default_rng(seed)
    alone = [_is_told_apart(parts[0], (gains[0][0], gains[0][0]), rng) for _ in range(RESAMPLES)]
    paired = []
    for number in range(RESAMPLES):
        a, b = pairs[number % len(pairs)]
        paired.append(_is_told_apart(parts[b], (gains[b][a], gains[b][b]), rng))
    rejected = sum(_is_rejected(parts, gains, active, candidate) for active, candidate in pairs)
    different = len(pairs) - verdicts.count(ModelVerdict.NO_DIFFERENCE)
    return [
        Result("compare: size of the largest part", max(sizes) / 1e6, "MB", Goal(most=MAX_BYTES / 1e6)),
        Result("compare: queries of the smallest part", min(map(len, gains[0])), "queries", Goal(least=QUERIES)),
        Result("compare: pairs of six seeds that are compared", len(pairs), "pairs"),
        Result("compare: pairs of six seeds that differ", different, "pairs", Goal(most=3)),
        Result("compare: pairs of six seeds that are worse", verdicts.count(ModelVerdict.WORSE), "pairs", Goal(most=2)),
        Result("gate: one seed after another, rejected", rejected, "pairs", Goal(most=3)),
        Result(
            "gate: nights of -3 % until it stops",
            _nights_until_stopped(parts[0], gains[0][0], rng),
            "nights",
            Goal(most=9),
        ),
        Result("compare: 5 % worse, same model, told apart of 100", sum(alone), "resamples", Goal(least=95)),
        Result("compare: 5 % worse, another seed, told apart of 100", sum(paired), "resamples"),
    ]


def hold_out(records: Records, seed: int, training: TrainSettings = TrainSettings()) -> Holdout:
    """Return what the evaluation holds out, without the evaluation."""
    core, kept = five_core(records)
    table = item_state(records, seed).table
    items = table.only(kept)
    split = global_split(core)
    near = content_neighbours(items.content)
    return Holdout(
        core, split, items, train_model(split.train, near, items, RecallSettings(), replace(training, seed=seed))
    )


def part_settings(seed: int) -> PartSettings:
    """Return what the part of a seed says of itself."""
    return PartSettings(RecallSettings(), DiversitySettings(), seed, "ranker", f"seed-{seed}")


def degrade(gains: Gains, lost: float, rng: np.random.Generator) -> Gains:
    """Lower the sum of nDCG by `lost`: in random queries the right answer goes five places down."""
    found = gains.copy()
    for query in rng.permutation(np.flatnonzero(gains)):
        if lost <= 0:
            break
        place = round(2 ** (1 / gains[query])) - 2 + _DOWN
        found[query] = 1 / np.log2(place + 2) if place < _AT else 0.0
        lost -= gains[query] - found[query]
    return found


def resample(part: EvaluationPart, queries: int, rng: np.random.Generator) -> tuple[EvaluationPart, NDArray[np.int64]]:
    """Draw whole users until there are so many queries, and return the rows; each drawn user counts as another one."""
    order = np.argsort(part.queries.user, kind="stable")
    mine = np.split(order, np.cumsum(np.bincount(part.queries.user))[:-1])
    rows: list[NDArray[np.int64]] = []
    count = 0
    while count < queries:
        rows.append(mine[rng.integers(len(mine))])
        count += len(rows[-1])
    user = np.repeat(np.arange(len(rows), dtype=np.int32), [len(each) for each in rows])
    chosen = np.concatenate(rows)
    return replace(part, queries=replace(part.queries, user=user, kinds=part.queries.kinds[chosen])), chosen


def _is_rejected(parts: list[EvaluationPart], gains: list[list[Gains]], active: int, candidate: int) -> bool:
    """Return whether the gate rejects a seed: it is worse than the active one, or the best of the others."""
    best = max((seed for seed in range(SEEDS) if seed != candidate), key=lambda seed: gains[seed][seed].mean())
    asked = gains[candidate]
    verdicts = [compare_gains(parts[candidate], (asked[each], asked[candidate])).verdict for each in (active, best)]
    return ModelVerdict.WORSE in verdicts


def _nights_until_stopped(part: EvaluationPart, first: Gains, rng: np.random.Generator) -> int:
    """Return after how many nights, each 3 % worse than the one before, the gate rejects a model; 99 if it doesn't."""
    drawn, rows = resample(part, QUERIES, rng)
    best = active = first[rows]
    for night in range(1, 11):
        candidate = degrade(active, 0.03 * float(active.sum()), rng)
        if any(compare_gains(drawn, (each, candidate)).verdict is ModelVerdict.WORSE for each in (active, best)):
            return night
        active = candidate
    return 99


def _is_told_apart(part: EvaluationPart, gains: tuple[Gains, Gains], rng: np.random.Generator) -> bool:
    drawn, rows = resample(part, QUERIES, rng)
    first, second = (each[rows] for each in gains)
    worse = degrade(second, _WORSE * float(second.sum()), rng)
    return compare_gains(drawn, (first, worse)).verdict is ModelVerdict.WORSE
