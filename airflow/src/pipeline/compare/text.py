"""A comparison as text."""

from pipeline.compare.comparing import Compared


def describe(compared: Compared) -> str:
    """Return the lines that `python -m pipeline compare` prints."""
    found = compared.result
    rows = [("all", found.queries, found.first, found.second)]
    rows += [(name, *scores) for name, scores in found.kinds.items()]
    relative = found.difference / found.first if found.first else 0.0
    asked = f"{found.queries:,} queries of {found.users:,} users from {found.cut:%Y-%m-%dT%H:%M:%SZ} on"
    interval = f"95 % interval {found.low:+.4f} to {found.high:+.4f}"
    tolerance = f"tolerance {found.tolerance * found.first:.4f} ({found.tolerance:.1%})"
    lines = [
        f"A: {compared.first}",
        f"B: {compared.second}",
        f"{asked}, those of {compared.asked}",
        "",
        f"{'queries':<10}{'number':>8}{'A ndcg@10':>12}{'B ndcg@10':>12}",
        *(f"{name:<10}{number:>8,}{first:>12.4f}{second:>12.4f}" for name, number, first, second in rows),
        "",
        f"B - A: {found.difference:+.4f} ({relative:+.1%}), {interval}, {tolerance}",
        f"verdict: {found.verdict}",
    ]
    return "\n".join(lines)
