"""The service starts from the packages of its image, which are fewer than those of the tests."""

import subprocess
import sys


def test_it_imports_no_database_driver_and_no_exporter_of_traces() -> None:
    """Its image has no SQLAlchemy. OpenTelemetry's exporter is imported only if a receiver is set."""
    program = (
        "import sys\nimport recommender_api.app\n"
        "print(sorted({'sqlalchemy', 'psycopg2', 'monitoring.otlp', 'opentelemetry.exporter'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
