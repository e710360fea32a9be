"""Writes what comes from the code: five pages, .env.example, airflow/pipeline.yaml and the settings in Kubernetes.

python docs/generator            write them
python docs/generator --check    exit 1 and name the pages that no longer say what the code says
"""

import argparse
import sys
from pathlib import Path

import critical_paths
import kubernetes_settings
import pipeline_config

import api_reference
import configuration
import env_example
import rights
from monitoring.docs import markdown as render_monitoring_points

PAGES = {
    "docs/API_REFERENCE.md": api_reference.render,
    "docs/CONFIGURATION.md": configuration.render,
    "docs/COVERAGE.md": critical_paths.render,
    "docs/MONITORING_POINTS.md": render_monitoring_points,
    "docs/RIGHTS.md": rights.render,
    ".env.example": env_example.render,
    "airflow/pipeline.yaml": pipeline_config.render,
    **kubernetes_settings.PAGES,
}


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page has drifted")
    check = parser.parse_args().check
    root = Path(__file__).parents[2]
    drifted = []
    for name, render in PAGES.items():
        page = root / name
        text = render()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        drifted.append(name)
        if not check:
            page.write_text(text, encoding="utf-8")
    if check and drifted:
        sys.stderr.write(f"{', '.join(drifted)}: not what the code says; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
