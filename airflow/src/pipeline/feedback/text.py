"""What a training did with exposures, as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any


def describe_feedback(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a `Feedback.document`: what was learned from, the position curve, the off-policy estimate."""
    if found["is_used"]:
        yield f"feedback: learned from {found['examples']:,} answers with an outcome"
    else:
        yield f"feedback: not used: {found['reason']}"
    if curve := found["position_curve"]:
        places = ", ".join(f"{share:.2f}" for share in curve[:10])
        yield f"examination of the first places, by {found['drawn']:,} answers in random order: {places}"
    estimate = found["off_policy"]
    if not estimate["is_identifiable"]:
        yield f"off-policy estimate: {estimate['reason']}"
        return
    yield (
        f"off-policy estimate, outcomes per answer (SNIPS, 95 %), on {estimate['answers']:,} answers to "
        f"{estimate['users']:,} users:"
    )
    yield f"  random order  {estimate['random_order']:.4f}"
    for name in ("served_order", "new_order", "difference"):
        value = estimate[name]
        yield f"  {name.replace('_', ' '):<12}  {value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
