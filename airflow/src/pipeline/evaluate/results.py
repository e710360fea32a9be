"""The results of an evaluation, as they are printed, stored in the manifest and in `evaluation.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.evaluate.metrics import COVERAGE
from pipeline.evaluate.part import Holdout
from ranking.bootstrap import Interval

STACK = "stack"
LEAVE_LAST_OUT = "leave_last_out"
AT_CUT = "global_split_at_cut"
ROLLING = "global_split_rolling"
# In the manifest, the names of a protocol's metrics begin with this.
PREFIXES = {LEAVE_LAST_OUT: "", AT_CUT: "cut_", ROLLING: "rolling_"}
_OF_BASELINES = ("ndcg@10", "recall@10", COVERAGE, "similarity@10")
_OF_OTHER_PROTOCOLS = ("ndcg@10", "recall@50")


@dataclass(frozen=True)
class EvaluationSettings:
    """Whether the global split and the baselines are measured, too, and by how many queries each protocol."""

    global_split: bool = True
    baselines: bool = True
    queries: int = 10_000


@dataclass(frozen=True)
class ProtocolResult:
    """One protocol. Means are over the queries of known users as `/recommend/user` would get them.

    `models` are metrics by model, the stack first; `ndcg` and `differences` (stack minus baseline, paired) are
    intervals of nDCG@10; `channels` the shares of right answers that each recall channel proposes; `groups` other
    queries (endpoints with a dataset, cold users), and `segments` parts of the queries, each with its number of
    queries and nDCG@10 by model.
    """

    queries: int
    users: int
    datasets: int
    order: str
    baseline_share: float
    models: Mapping[str, Mapping[str, float]]
    ndcg: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    channels: Mapping[str, float]
    groups: Mapping[str, Mapping[str, float]]
    segments: Mapping[str, Mapping[str, Mapping[str, float]]]

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the highest nDCG@10; None if none was measured."""
        baselines = (name for name in self.models if name != STACK)
        return max(baselines, key=lambda name: self.models[name]["ndcg@10"], default=None)


@dataclass(frozen=True)
class Evaluation:
    """Results by protocol, why the missing ones are missing, and what the 5-core leaves out.

    `holdout` is what the evaluation part is made of; it is missing with the rolling protocol.
    """

    protocols: Mapping[str, ProtocolResult]
    missing: Mapping[str, str]
    outside_core: Mapping[str, float]
    holdout: Holdout | None = None

    def document(self) -> dict[str, Any]:
        """Return all numbers as `evaluation.json`."""
        found: dict[str, Any] = asdict(replace(self, holdout=None))
        del found["holdout"]
        for result in found["protocols"].values():
            for name in ("ndcg", "differences"):
                result[name] = {model: each._asdict() for model, each in result[name].items()}
        return found

    @property
    def is_below_baseline(self) -> bool:
        """Whether nDCG@10 is significantly below that of the best baseline, on the same queries."""
        result = self.protocols.get(LEAVE_LAST_OUT)
        best = None if result is None else result.best_baseline
        return result is not None and best is not None and result.differences[best].high < 0

    def metrics(self) -> dict[str, float]:
        """Return the manifest's metrics: the stack's by plain names, the baselines' with a suffix."""
        metrics: dict[str, float] = {}
        for protocol, result in self.protocols.items():
            prefix = PREFIXES[protocol]
            size = {"users": result.users, "queries": result.queries, "datasets": result.datasets}
            metrics |= {f"{prefix}test_{name}": number for name, number in size.items()}
            for model, values in result.models.items():
                suffix = "" if model == STACK else f"_{model}"
                if protocol == LEAVE_LAST_OUT:
                    names = tuple(values) if model == STACK else _OF_BASELINES
                else:
                    names = _OF_OTHER_PROTOCOLS
                metrics |= {f"{prefix}{name}{suffix}": round(values[name], 5) for name in names}
            metrics[f"{prefix}ndcg@10_low"] = round(result.ndcg[STACK].low, 5)
            metrics[f"{prefix}ndcg@10_high"] = round(result.ndcg[STACK].high, 5)
            metrics |= {f"{prefix}recalled_{name}": round(share, 5) for name, share in result.channels.items()}
        # The registry's gate rejects such a model.
        return metrics | {"below_baseline": 1.0} if self.is_below_baseline else metrics
