"""The metrics as a table."""

from collections.abc import Mapping

_MODELS = {
    "": "{model} (this stack)",
    "_slit_trend": "SLIT + decayed popularity",
    "_ease_trend": "rank-decayed EASE + popularity",
    "_popularity_decayed": "decayed popularity",
    "_slit": "SLIT",
    "_ease_rank": "rank-decayed EASE",
    "_ease_time": "time-decayed EASE",
    "_ease": "EASE",
    "_itemknn": "ItemKNN-50",
    "_popularity": "popularity",
}
_COLUMNS = ("ndcg@10", "recall@10", "coverage@10", "similarity@10", "cut_ndcg@10", "rolling_ndcg@10")
# The name of a metric that is 1 if the bundle ranks by the simple order of the rest of the name.
SIMPLE_ORDER = "simple_order_"
_EXPLANATION = """\
5-core, all unseen datasets ranked. Each user's last dataset is left out; cut_: split at one time, users are asked once,
at the cut; rolling_: asked before each later dataset. 95 % interval of the stack's ndcg@10: {low:.4f} to {high:.4f}."""


def metrics_table(model: str, metrics: Mapping[str, float]) -> str:
    """Return the scores of the stack and of the simple models on the same queries, one model a line."""
    if "test_users" not in metrics:
        return "not evaluated: no user and dataset have five interactions with each other"
    size = f"{metrics['test_users']:,.0f} users, {metrics['test_datasets']:,.0f} datasets"
    interval = {name: metrics.get(f"ndcg@10_{name}", metrics["ndcg@10"]) for name in ("low", "high")}
    lines = [
        f"{size}. {_EXPLANATION.format(**interval)}",
        "".join(("model".ljust(32), *(column.rjust(16) for column in _COLUMNS))),
    ]
    for suffix, name in _MODELS.items():
        if f"ndcg@10{suffix}" in metrics:
            values = (metrics.get(column + suffix) for column in _COLUMNS)
            shown = ("–" if value is None else f"{value:.4f}" for value in values)
            lines.append("".join((name.format(model=model).ljust(32), *(value.rjust(16) for value in shown))))
    if simple := [name.removeprefix(SIMPLE_ORDER) for name in metrics if name.startswith(SIMPLE_ORDER)]:
        lines.append(f"the trained ranker is not better than a simple order, so the bundle ranks by {simple[0]}")
    return "\n".join(lines)
