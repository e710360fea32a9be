"""`registryctl export|import`: a version as a folder that MLflow loads as a pyfunc model, and back.

The bundle lies in it as it is, and no pickle. An import takes the bundle alone: the registry checks it as any upload,
and nothing else of the folder is read.
"""

import argparse
import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from contracts.checksums import sha256_of
from contracts.command_line import UNREACHABLE, USAGE, CommandError, Commands
from contracts.model_versions import VersionDetail
from contracts.registry.client import RegistryClient
from registryctl import signing

_LOADER = "recsys_ranker_model"
_BUNDLE = Path("artifacts") / "bundle.tar.gz"
_REQUIREMENTS = ("lightgbm>=4,<5", "numpy", "pandas")
_PYTHON = "3.11"
# What JSON leaves as it is, and YAML doesn't print, or reads as the end of a line.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

_Answer = tuple[dict[str, Any], str]


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    export = commands.add("export", _export, "write a version as a model that MLflow loads")
    export.add_argument("version")
    export.add_argument("--mlflow", type=Path, required=True, metavar="DIR", help="a new folder")
    back = commands.add("import", _import, "push the bundle of such a folder as the next version")
    back.add_argument("--mlflow", type=Path, required=True, metavar="DIR")
    signing.add_argument(back)


def _export(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    target: Path = given.mlflow
    if target.exists():
        raise CommandError(USAGE, f"{target}: is there already; name a new folder")
    detail = registry.version(given.version)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            made = Path(temporary) / "model"
            (made / _BUNDLE).parent.mkdir(parents=True)
            registry.download(detail.version, made / _BUNDLE)
            if (actual := sha256_of(made / _BUNDLE)) != detail.sha256:
                raise CommandError(UNREACHABLE, f"the download's sha256 is {actual}, the version has {detail.sha256}")
            _write_description(made, detail)
            shutil.move(made, target)
    except OSError as error:
        raise CommandError(USAGE, f"{error.filename or target}: {error.strerror}") from error
    body = {"name": detail.name, "version": detail.version, "sha256": detail.sha256, "folder": str(target)}
    return body, f"{detail.name} {detail.version} is in {target}: mlflow.pyfunc.load_model({str(target)!r})"


def _import(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    bundle = given.mlflow / _BUNDLE
    if not bundle.is_file():
        raise CommandError(USAGE, f"{bundle}: no such file")
    try:
        pushed = registry.push(bundle, signer=signing.signer_of(given))
    except OSError as error:
        raise CommandError(USAGE, f"{error.filename or bundle}: {error.strerror}") from error
    return pushed.model_dump(mode="json"), f"{given.model} {pushed.version} pushed"


def _write_description(folder: Path, detail: VersionDetail) -> None:
    (folder / "code").mkdir()
    loader = files("registryctl").joinpath("mlflow_loader.py").read_text("utf-8")
    (folder / "code" / f"{_LOADER}.py").write_text(loader, "utf-8")
    (folder / "requirements.txt").write_text("\n".join((*_REQUIREMENTS, "")), "utf-8")
    python_env = {"python": _PYTHON, "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(_yaml(python_env), "utf-8")
    packages = [f"python={_PYTHON}", "pip", {"pip": list(_REQUIREMENTS)}]
    conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": packages}
    (folder / "conda.yaml").write_text(_yaml(conda), "utf-8")
    flavor = {
        "loader_module": _LOADER,
        "data": str(_BUNDLE.parent),
        "code": "code",
        "python_version": _PYTHON,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    }
    labels = {"description": detail.description, "tags": detail.tags}
    model = {
        "flavors": {"python_function": flavor},
        "model_uuid": uuid4().hex,
        "utc_time_created": f"{detail.created_at:%Y-%m-%d %H:%M:%S.%f}",
        "metadata": {"name": detail.name, "version": detail.version, "sha256": detail.sha256, **labels},
    }
    (folder / "MLmodel").write_text(_yaml(model), "utf-8")


def _yaml(document: dict[str, Any]) -> str:
    # JSON is YAML, and needs no library; but YAML knows no pairs of surrogates, which stand for an emoji in JSON.
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
