"""The messages of the one-shot containers' commands on errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import environment_file


def _first_model(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("REGISTRY_URL", "AIRFLOW_URL")}
    return subprocess.run(
        [sys.executable, "-m", "provisioning", "first-model"],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("registry", "airflow", "code", "message"),
    [
        ("http://127.0.0.1:1", None, 2, "AIRFLOW_URL is not set"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1", 1, "REGISTRY_URL"),
        ("http://a..b", "http://127.0.0.1:1", 1, "REGISTRY_URL"),
        ("http://127.0.0.1:port", "http://127.0.0.1:1", 1, "REGISTRY_URL"),
    ],
)
def test_an_unreachable_or_unset_address_is_named(registry: str, airflow: str | None, code: int, message: str) -> None:
    ended = _first_model(REGISTRY_URL=registry, **({"AIRFLOW_URL": airflow} if airflow else {}))
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("content", "where"),
    [(b"A=1\nB='hush\n", ":2: B: "), (b"A=1\nB=\xbd\xa5\n", ":2: not UTF-8"), (b"A=hush\\", ":1: A: ")],
)
def test_an_unreadable_settings_file_is_named_by_line_and_not_quoted(
    tmp_path: Path, content: bytes, where: str
) -> None:
    path = tmp_path / "env"
    path.write_bytes(content)
    with pytest.raises(environment_file.UnreadableFileError) as caught:
        environment_file.read(path)
    assert str(caught.value).startswith(f"{path}{where}")
    assert "hush" not in str(caught.value)
