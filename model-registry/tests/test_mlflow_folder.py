"""A version as a folder for MLflow, and back."""

import importlib.util
import tarfile
from collections.abc import Iterator
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import yaml

from contracts.checksums import sha256_of
from contracts.command_line import OK, USAGE
from ranking.testing import tiny_archive
from registryctl import cli
from testkit.fake_registry import FakeRegistry


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def run(fake: FakeRegistry, *arguments: str) -> int:
    return cli.main(["--url", fake.url, *arguments])


def test_an_export_is_a_pyfunc_model_that_scores_as_the_ranker(fake: FakeRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "a.tar.gz")
    fake.push("1", archive)
    folder = tmp_path / "models" / "ranker"
    assert run(fake, "export", "1", "--mlflow", str(folder)) == OK
    model = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = model["flavors"]["python_function"]
    assert all((folder / name).is_file() for name in (*flavor["env"].values(), "requirements.txt"))
    assert sha256_of(folder / flavor["data"] / "bundle.tar.gz") == sha256_of(archive) == model["metadata"]["sha256"]
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]
    # As MLflow loads a model with a `loader_module`.
    spec = importlib.util.spec_from_file_location(
        flavor["loader_module"], folder / flavor["code"] / f"{flavor['loader_module']}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    with tarfile.open(archive) as packed:
        ranker = packed.extractfile("ranker.txt")
        assert ranker is not None
        booster = lgb.Booster(model_str=ranker.read().decode())
    names = booster.feature_name()
    rows = np.random.default_rng(0).random((5, len(names)))
    scores = loaded._load_pyfunc(str(folder / flavor["data"])).predict(pd.DataFrame(rows, columns=names)[names[::-1]])
    assert scores.tolist() == booster.predict(rows).tolist()
    assert run(fake, "export", "1", "--mlflow", str(folder)) == USAGE


@pytest.mark.parametrize(
    "text",
    ["更好的召回 — première version 🎉", "two\nlines\tand a tab", "\u2028\u2029\ufeff\ufffe\uffff", '"\\u2028: [{# %'],
    ids=["scripts", "lines", "unprintable", "syntax"],
)
def test_an_export_has_the_description_and_tags_in_any_script(fake: FakeRegistry, tmp_path: Path, text: str) -> None:
    fake.push("1", tiny_archive(tmp_path / "a.tar.gz"))
    fake.labels["1"] = {"description": text, "tags": {"team": text}}
    assert run(fake, "export", "1", "--mlflow", str(tmp_path / "ranker")) == OK
    model = yaml.safe_load((tmp_path / "ranker" / "MLmodel").read_bytes().decode("utf-8"))
    assert (model["metadata"]["description"], model["metadata"]["tags"]) == (text, {"team": text})


def test_an_import_pushes_the_bundle_and_reads_nothing_else(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.push("1", tiny_archive(tmp_path / "a.tar.gz"))
    folder = tmp_path / "ranker"
    assert run(fake, "export", "1", "--mlflow", str(folder)) == OK
    (folder / "MLmodel").write_text("!!python/object/apply:os.system ['touch x']")
    (folder / "code" / "recsys_ranker_model.py").write_text("raise SystemExit(1)")
    fake.bundles.clear()
    assert run(fake, "import", "--mlflow", str(folder)) == OK
    assert fake.sha256("1") == sha256_of(tmp_path / "a.tar.gz")
    assert run(fake, "import", "--mlflow", str(tmp_path / "nothing")) == USAGE
    # A bundle that was changed is checked as any other upload.
    fake.mode = "422"
    assert run(fake, "import", "--mlflow", str(folder)) != OK
