"""The metrics as a table."""

from collections.abc import Mapping

_MODELS = {"": "{model} (this stack)", "_ease": "EASE", "_itemknn": "ItemKNN-50", "_popularity": "popularity"}
_COLUMNS = ("ndcg@10", "recall@10", "coverage@10", "similarity@10")


def metrics_table(model: str, metrics: Mapping[str, float]) -> str:
    """Return the scores of the stack and of the baselines on the same split, one model a line."""
    if not metrics:
        return "not evaluated: no user and dataset have five interactions with each other"
    size = f"{metrics['test_users']:,.0f} users, {metrics['test_datasets']:,.0f} datasets"
    head = f"{size} (5-core, leave last out, all unseen datasets ranked)"
    lines = [head, "".join(("model".ljust(32), *(column.rjust(15) for column in _COLUMNS)))]
    for suffix, name in _MODELS.items():
        if f"ndcg@10{suffix}" in metrics:
            values = (f"{metrics[column + suffix]:.4f}".rjust(15) for column in _COLUMNS)
            lines.append("".join((name.format(model=model).ljust(32), *values)))
    return "\n".join(lines)
