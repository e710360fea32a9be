"""`python -m bench`: measure, print a table, write `.run/bench.json`."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench import (
    alerts,
    extraction,
    feature_sync,
    monitoring_collector_faults,
    monitoring_healthy,
    monitoring_storm,
    pipeline,
    serving,
    serving_redis_faults,
    serving_size,
    shadow,
)
from bench.ablation import answers as ablation_answers
from bench.ablation import loading as ablation_loading
from bench.results import Result, table, write

PARTS = {
    "monitoring-healthy": monitoring_healthy.measure,
    "monitoring-storm": monitoring_storm.measure,
    "monitoring-collector-faults": monitoring_collector_faults.measure,
    "serving": serving.measure,
    "serving-redis-faults": serving_redis_faults.measure,
    "serving-size": serving_size.measure,
    "shadow": shadow.measure,
    "alerts": alerts.measure,
    "feature-sync": feature_sync.measure,
    "extraction": extraction.measure,
    "pipeline": pipeline.measure,
    "pipeline-growth": pipeline.measure_growth,
    "pipeline-hundred-million": pipeline.measure_hundred_million,
    "pipeline-catalogues": pipeline.measure_catalogues,
    "ablation": ablation_answers.measure,
    "ablation-loading": ablation_loading.measure,
}
# Too long to be measured with the rest.
ONLY_BY_NAME = {"pipeline-growth", "pipeline-hundred-million", "pipeline-catalogues", "ablation", "ablation-loading"}


def main() -> int:
    """Run the requested parts; return the exit code, which doesn't depend on the goals."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="A missed goal is shown but doesn't fail the command."
    )
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--out", type=Path, default=Path(".run/bench.json"))
    given = parser.parse_args()
    results: list[Result] = []
    for name in [given.only] if given.only else [part for part in PARTS if part not in ONLY_BY_NAME]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results += PARTS[name](Path(folder))
    sys.stdout.write(table(results) + "\n")
    write(results, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
