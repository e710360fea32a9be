"""Prometheus for the native stack, if its program is installed (Debian: prometheus)."""

import json
import shutil
from pathlib import Path

from native.config import StackConfig


def program() -> str | None:
    """Return the path of Prometheus, or None."""
    return shutil.which("prometheus")


def prepare(config: StackConfig) -> None:
    """Write its configuration: that of the containers, with this stack's addresses as targets."""
    folder = _folder(config)
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copyfile(config.root / "deploy" / "prometheus" / name, folder / name)
    ports = config.ports
    services = {
        "recommender-api": ports.api,
        "model-registry": ports.registry,
        "feature-sync": ports.sync,
        "notification-gateway": ports.gateway,
    }
    groups = [{"targets": [f"127.0.0.1:{port}"], "labels": {"service": service}} for service, port in services.items()]
    # JSON is YAML.
    (folder / "targets" / "native.yml").write_text(json.dumps(groups), encoding="utf-8")


def command(config: StackConfig, prometheus: str) -> list[str]:
    """Return its command line."""
    folder = _folder(config)
    return [
        prometheus,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{config.ports.prometheus}",
    ]


def _folder(config: StackConfig) -> Path:
    return config.run / "prometheus"
