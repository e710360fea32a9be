"""`python -m prove`: run the proofs, print a table, write `.run/prove.json`."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.results import Result, table, write
from prove import (
    alert_days,
    alertmanager,
    bodies,
    celery,
    compare,
    convergence,
    dashboards,
    engines,
    evaluation,
    extraction,
    feedback,
    fuzz,
    gateway_killed,
    hostile_bundles,
    overload,
    own_data,
    poison,
    postgres_outage,
    quality_nights,
    refresh,
    registry_killed,
    registry_size,
    resume,
    rollout,
    slips,
    withdrawal,
)

# A proof takes a folder and a seed, and runs for at most 20 minutes.
Proof = Callable[[Path, int], list[Result]]
PROOFS: dict[str, Proof] = {
    "alert-days": alert_days.prove,
    "alertmanager": alertmanager.prove,
    "bodies": bodies.prove,
    "celery": celery.prove,
    "extraction": extraction.prove,
    "compare": compare.prove,
    "convergence": convergence.prove,
    "dashboards": dashboards.prove,
    "engines": engines.prove,
    "evaluation": evaluation.prove,
    "feedback": feedback.prove,
    "fuzz": fuzz.prove,
    "gateway-killed": gateway_killed.prove,
    "hostile-bundles": hostile_bundles.prove,
    "overload": overload.prove,
    "own-data": own_data.prove,
    "poison": poison.prove,
    "postgres-outage": postgres_outage.prove,
    "quality-nights": quality_nights.prove,
    "refresh": refresh.prove,
    "registry-killed": registry_killed.prove,
    "registry-size": registry_size.prove,
    "resume": resume.prove,
    "rollout": rollout.prove,
    "slips": slips.prove,
    "withdrawal": withdrawal.prove,
}


def main() -> int:
    """Run the requested proofs; return the exit code: 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m prove", description="A missed goal fails the command.")
    parser.add_argument("--only", choices=PROOFS, help="one proof")
    parser.add_argument("--seed", type=int, default=20261124, help="seed of all randomness")
    parser.add_argument("--out", type=Path, default=Path(".run/prove.json"))
    given = parser.parse_args()
    results: list[Result] = []
    for name in [given.only] if given.only else PROOFS:
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            results += PROOFS[name](Path(folder), given.seed)
    sys.stdout.write(table(results) + "\n")
    write(results, given.out)
    return 0 if all(each.ok for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
