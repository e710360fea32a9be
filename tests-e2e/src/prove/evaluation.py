"""The evaluation on MovieTweetings: the published figures, and those of a second implementation of the simple models.

It needs the data: `REAL_DATA_DIR` names a folder with the folder `movietweetings-100k`. Without it, the two
implementations are compared on the demo marketplace alone.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.results import Goal, Result
from pipeline.business.content import Content
from pipeline.demo import DemoSize, generate
from pipeline.evaluate import AT_CUT, LEAVE_LAST_OUT, ROLLING, STACK, Evaluation, evaluate
from pipeline.evaluate.baselines import Asked, rank_baselines
from pipeline.evaluate.histories import histories_of
from pipeline.evaluate.metrics import find_hits, ndcg
from pipeline.evaluate.queries import QuerySet, ask_at_cut, ask_before
from pipeline.evaluate.split import five_core, global_split, leave_last_out
from pipeline.features.items import item_state
from pipeline.importers.sources import ImportOptions, read_source
from pipeline.records import Records
from pipeline.train import TrainSettings
from prove.clean_content import write_clean_tables
from prove.independent_models import Ints, Scores, independent_scores
from ranking.diversity import DiversitySettings
from ranking.recall import RecallSettings

# Measured by others on the same data and splits.
PUBLISHED = {
    LEAVE_LAST_OUT: {"popularity": 0.078, "popularity_decayed": 0.169, "itemknn": 0.089, "ease": 0.094},
    AT_CUT: {"popularity": 0.067, "itemknn": 0.068, "ease": 0.074},
    ROLLING: {"ease": 0.053},
}
_SMALL = DemoSize(datasets=300, users=60, interactions=4_000)
_END = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SAME = 0.001
_AS_PUBLISHED = 0.002


def prove(folder: Path, seed: int) -> list[Result]:
    """Return how far the figures are apart."""
    small = unique_pairs(load_content(generate(_SMALL, seed % 2**31, _END), folder / "small"))
    results = [_agreement("demo", small)]
    real = os.environ.get("REAL_DATA_DIR")
    results.append(Result("evaluation: real data sets measured", int(bool(real)), "data sets"))
    if not real:
        return results
    records = read_movietweetings(Path(real), folder / "movietweetings")
    results.append(_agreement("MovieTweetings", records))
    return results + _published(records)


def load_content(content: Content, folder: Path) -> Records:
    """Return what the extraction and the quality step make of a content; `folder` is created."""
    return Records.load(write_clean_tables(content, folder, datetime.now(UTC)))


def read_movietweetings(real: Path, folder: Path) -> Records:
    """Return MovieTweetings-100k as records; `folder` is created."""
    options = ImportOptions(datetime.now(UTC))
    return load_content(read_source("movietweetings", real / "movietweetings-100k", options).content, folder)


def unique_pairs(records: Records) -> Records:
    """Return each user's first interaction with each dataset.

    The two implementations take the time of a repeated dataset in a history differently: first and last interaction.
    """
    return records.only(np.isin(np.arange(len(records)), records.first_of_pair))


def pipeline_scores(records: Records) -> Scores:
    """Return nDCG@10 of the pipeline's simple models by each protocol."""
    core, _ = five_core(records)
    last, cut = leave_last_out(core, len(core), 42), global_split(core)
    known = np.isin(core.user[cut.test], cut.train.user)
    users = np.unique(core.user[cut.test[known]]).astype(np.int64)
    cases: dict[str, tuple[Records, QuerySet]] = {
        LEAVE_LAST_OUT: (last.train, ask_before(core, last.test, last.train)),
        AT_CUT: (cut.train, ask_at_cut(core, cut, users)),
        ROLLING: (cut.train, ask_before(core, cut.test[known], core)),
    }
    found: Scores = {}
    for protocol, (train, queries) in cases.items():
        right = np.array([len(each) for each in queries.answers])
        found[protocol] = {
            name: float(ndcg(find_hits(tops[:, :10], queries.answers, len(core.catalogue)), right).mean())
            for name, (tops,) in rank_baselines(train, [Asked(queries, histories_of(queries, 42))], 42)
        }
    return found


def first_pairs(records: Records) -> tuple[Ints, Ints, Ints]:
    """Return users, datasets and times of the first interactions of all pairs."""
    rows = records.first_of_pair
    return records.user[rows].astype(np.int64), records.item[rows].astype(np.int64), records.ts[rows]


def largest_difference(found: Scores, expected: Scores) -> float:
    """Return by how much a figure of `expected` differs most from the same one of `found`."""
    return max(
        abs(found[protocol][model] - value) for protocol, models in expected.items() for model, value in models.items()
    )


def _agreement(name: str, records: Records) -> Result:
    apart = largest_difference(pipeline_scores(records), independent_scores(*first_pairs(records)))
    return Result(f"evaluation: {name}, apart from a second implementation", apart, "nDCG@10", Goal(most=_SAME))


def _published(records: Records) -> list[Result]:
    found = _evaluate(records)
    scores = {
        protocol: {model: values["ndcg@10"] for model, values in result.models.items()}
        for protocol, result in found.protocols.items()
    }
    last = scores[LEAVE_LAST_OUT]
    apart = largest_difference(scores, PUBLISHED)
    return [
        Result("evaluation: MovieTweetings, apart from published figures", apart, "nDCG@10", Goal(most=_AS_PUBLISHED)),
        Result("evaluation: MovieTweetings, stack over EASE", last[STACK] / last["ease"], "times", Goal(least=2)),
    ]


def _evaluate(records: Records) -> Evaluation:
    table = item_state(records, 42).table
    return evaluate(records, table, RecallSettings(), DiversitySettings(), TrainSettings())
