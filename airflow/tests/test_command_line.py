"""`python -m pipeline`: from an empty database to a bundle that answers, and its messages on errors."""

import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import monitoring
from contracts.bundle import unpack
from contracts.snapshot import iter_users
from contracts.snapshot import read_manifest as read_snapshot
from contracts.user_blob import UserBlob
from pipeline.business.database import open_engine
from pipeline.business.load import create_tables
from pipeline.cli import main
from ranking.bundle import load
from ranking.engine import Engine
from ranking.verification import verify

SMALL = ("--datasets", "300", "--users", "200", "--interactions", "12000")


def pipeline(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_TOKEN", "_DSN", "_DIR"))}
    own = {"BUSINESS_DATABASE_URL": f"sqlite:///{folder / 'business.db'}", "ARTIFACT_URL": str(folder / "artifacts")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=kept | own | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small marketplace and one run over it."""
    made = tmp_path_factory.mktemp("command-line")
    assert pipeline(made, "demo", *SMALL).returncode == 0
    ran = pipeline(made, "run", "--no-publish", GIT_COMMIT="abc123")
    assert ran.returncode == 0, ran.stderr
    (made / "output.txt").write_text(ran.stdout, encoding="utf-8")
    return made


def run_of(folder: Path) -> Path:
    (run,) = (folder / "artifacts" / "runs").iterdir()
    return run


def test_a_run_prints_its_progress_and_the_scores_of_all_four(folder: Path) -> None:
    lines = (folder / "output.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "[1/10] extract"
    for model in ("ranker (this stack)", "EASE", "ItemKNN-50", "popularity"):
        (line,) = (line for line in lines if line.startswith(model))
        assert 0 < float(line.removeprefix(model).split()[0]) < 1
    assert "bundle.tar.gz" in lines[-1]


def test_the_bundle_answers_its_golden_requests_and_records_its_origin(folder: Path, tmp_path: Path) -> None:
    manifest = unpack(run_of(folder) / "bundle" / "bundle.tar.gz", tmp_path)
    assert verify(Engine(load(tmp_path))) >= 10
    assert (manifest.name, manifest.git_commit) == ("ranker", "abc123")
    assert re.fullmatch(rf"{run_of(folder).name}-[0-9a-f]{{12}}", manifest.version)
    info = json.loads((run_of(folder) / "run.json").read_text(encoding="utf-8"))
    assert manifest.created_at == datetime.fromisoformat(info["as_of"])
    assert manifest.data_window.datasets == 300
    assert 11_000 < manifest.data_window.interactions <= 12_000
    assert manifest.trained_until == manifest.data_window.end - timedelta(seconds=1)
    assert {f"ndcg@10{model}" for model in ("", "_ease", "_itemknn", "_popularity")} <= manifest.metrics.keys()


def test_every_dataset_but_the_cold_ones_has_a_precomputed_list_without_itself(folder: Path, tmp_path: Path) -> None:
    unpack(run_of(folder) / "bundle" / "bundle.tar.gz", tmp_path)
    contents = load(tmp_path)
    lists = contents.precomputed.items
    assert lists.shape == (300, 60)
    listed = lists[:, 0] >= 0
    assert listed.mean() > 0.95
    assert not listed[-3:].any()
    assert (lists[~listed] == -1).all()
    assert all(position not in row for position, row in enumerate(lists.tolist()))


def test_popular_and_trending_lists_are_never_empty(folder: Path, tmp_path: Path) -> None:
    unpack(run_of(folder) / "bundle" / "bundle.tar.gz", tmp_path)
    contents = load(tmp_path)
    assert len(contents.recall.popular.items) >= 200
    assert {name: len(items) >= 100 for name, items in contents.trending.items()} == {"1h": True, "24h": True}
    assert contents.trending["1h"] != contents.trending["24h"]


def test_the_snapshot_holds_every_user_under_the_runs_version(folder: Path) -> None:
    snapshot = folder / "artifacts" / "snapshots" / run_of(folder).name
    manifest = read_snapshot(snapshot)
    users = dict(user for batch in iter_users(snapshot, manifest) for user in batch)
    assert (manifest.version, manifest.rows, len(users)) == (run_of(folder).name, len(users), len(users))
    assert 190 <= len(users) <= 200
    assert all(len(UserBlob.unpack(blob).history) for blob in users.values())


def test_a_run_is_compared_with_itself_by_its_id_its_folder_and_its_part(folder: Path) -> None:
    run = run_of(folder)
    part = run / "evaluation_part" / "evaluation.zip"
    for other in (run.name, str(run), str(part)):
        found = pipeline(folder, "compare", run.name, other, "--json")
        assert found.returncode == 0, found.stderr
        document = json.loads(found.stdout)
        assert (document["a"], document["b"], document["queries_of"]) == (run.name, other, other)
        # The small marketplace has few queries after its cut.
        assert (document["difference"], document["verdict"]) == (0, "not enough queries")
        assert document["queries"] == sum(kind["queries"] for kind in document["kinds"].values())
    lines = pipeline(folder, "compare", run.name, run.name).stdout.splitlines()
    assert lines[:2] == [f"A: {run.name}", f"B: {run.name}"]
    assert lines[-1] == "verdict: not enough queries"


def test_a_bundle_is_not_compared_on_queries_that_it_has_seen(folder: Path) -> None:
    archive = run_of(folder) / "bundle" / "bundle.tar.gz"
    found = pipeline(folder, "compare", str(archive), run_of(folder).name)
    assert found.returncode == 2
    assert "the first model was trained until " in found.stderr
    assert "it has seen their answers" in found.stderr
    found = pipeline(folder, "compare", str(archive), str(archive))
    assert (found.returncode, "have no queries: one of them needs an evaluation part" in found.stderr) == (2, True)


def test_what_cannot_be_compared_is_named(folder: Path) -> None:
    (folder / "hello.zip").write_text("hello", encoding="utf-8")
    (folder / "hello.tar.gz").write_text("hello", encoding="utf-8")
    (folder / "hello").write_text("hello", encoding="utf-8")
    missing = folder / "without-queries" / "evaluation_part"
    missing.mkdir(parents=True)
    (missing / "missing.txt").write_text("nobody came back\n", encoding="utf-8")
    for text, message in (
        (
            "./without-queries",
            "there is neither an evaluation part (nobody came back) nor a bundle in ./without-queries",
        ),
        ("unknown", "there is no run unknown below ARTIFACT_URL"),
        ("./nowhere", "./nowhere: no such file or folder"),
        ("hello.zip", "hello.zip: not a readable evaluation part"),
        ("hello.tar.gz", "pipeline: hello.tar.gz: not a readable .tar.gz"),
        ("hello", "pipeline: hello: not a readable .tar.gz"),
    ):
        found = pipeline(folder, "compare", text, run_of(folder).name)
        assert (found.returncode, message in found.stderr) == (2, True), found.stderr
    assert pipeline(folder, "compare", "a", "b", "--tolerance", "1").returncode == 2


@pytest.mark.parametrize("has_tables", [True, False])
def test_over_an_empty_business_database_a_run_has_nothing_to_train_yet(tmp_path: Path, has_tables: bool) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'business.db'}", "BUSINESS_DATABASE_URL")
    if has_tables:
        create_tables(engine)
    engine.connect().close()
    ran = pipeline(tmp_path, "run")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("nothing to train yet: the business database is empty; fill it by ")
    assert "Traceback" not in ran.stderr


def test_demo_if_empty_keeps_existing_content(folder: Path) -> None:
    before = hashlib.sha256((folder / "business.db").read_bytes()).hexdigest()
    said = pipeline(folder, "demo", "--if-empty", *SMALL)
    assert (said.returncode, said.stdout) == (0, "the business database already has content, which stays\n")
    assert hashlib.sha256((folder / "business.db").read_bytes()).hexdigest() == before


def test_an_import_with_a_bad_row_ends_with_2_and_loads_nothing(folder: Path, tmp_path: Path) -> None:
    before = hashlib.sha256((folder / "business.db").read_bytes()).hexdigest()
    (tmp_path / "datasets.csv").write_text("id,title\na,A\n", encoding="utf-8")
    (tmp_path / "interactions.csv").write_text("user_id,dataset_id,type,ts\nu,a,like,1\n", encoding="utf-8")
    failed = pipeline(folder, "import", "--source", "csv", "--dir", str(tmp_path))
    assert failed.returncode == 2
    assert "pipeline: 1 bad row; nothing was loaded\ninteractions.csv:2: type 'like' is none of" in failed.stderr
    assert hashlib.sha256((folder / "business.db").read_bytes()).hexdigest() == before


def sound_folder(folder: Path, title: str = "Bus") -> Path:
    (folder / "datasets.csv").write_text(f"id,title\na,{title}\nb,Rain\n", encoding="utf-8")
    rows = "u,a,view,2026-01-01 20:00\nv,b,view,2026-01-02 20:00\nu,b,click,2026-01-03 20:00\n"
    (folder / "interactions.csv").write_text("user_id,dataset_id,type,ts\n" + rows, encoding="utf-8")
    return folder


def test_check_reports_the_content_of_an_import_and_loads_nothing(tmp_path: Path) -> None:
    checked = pipeline(tmp_path, "check", str(sound_folder(tmp_path)), TIMEZONE="Asia/Shanghai")
    assert checked.returncode == 0, checked.stderr
    first, *_, last = checked.stdout.splitlines()
    assert (first, last) == (
        "datasets:      2, 0 of them without interactions",
        "no bad rows; nothing was loaded",
    )
    assert "3 from 2026-01-01 12:00:00Z to 2026-01-03 12:00:00Z (times without a zone: Asia/Shanghai)" in checked.stdout
    assert not (tmp_path / "business.db").exists()
    imported = pipeline(tmp_path, "import", "--source", "csv", "--dir", str(tmp_path), TIMEZONE="Asia/Shanghai")
    assert imported.stdout.splitlines()[:-1] == checked.stdout.splitlines()[:-1]
    assert imported.stdout.endswith("loaded 2 datasets, 2 users, 3 interactions into the business database\n")


def test_an_id_in_any_script_is_shown_on_any_terminal(tmp_path: Path) -> None:
    sound_folder(tmp_path)
    text = (tmp_path / "interactions.csv").read_text(encoding="utf-8").replace("u,", "用户,")
    (tmp_path / "interactions.csv").write_text(text, encoding="utf-8")
    checked = pipeline(tmp_path, "check", ".", PYTHONIOENCODING="ascii")
    assert checked.returncode == 0, checked.stderr
    assert r"'\u7528\u6237' with 66.7%" in checked.stdout


@pytest.mark.parametrize("command", [("check",), ("import", "--source", "csv", "--dir")])
def test_an_input_error_is_found_before_the_database_and_reports_no_monitoring_point(
    tmp_path: Path, command: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSINESS_DATABASE_URL", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with monitoring.testing.captured() as reports:
        assert main([*command, str(sound_folder(tmp_path, "Bus\0GPS"))]) == 2
    assert reports == []
    assert "datasets.csv:2: title 'Bus\\x00GPS' holds a NUL character (U+0000)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (("check", "nowhere"), {}, 2, "nowhere is not a folder"),
        (("check", "."), {"ENCODING": "latin-77"}, 2, "ENCODING: Value error, 'latin-77' is not an encoding of text"),
        (("check", "."), {"ENCODING": "base64"}, 2, "ENCODING: Value error, 'base64' is not an encoding of text"),
        (("check", "."), {"TIMEZONE": "Mars/Base"}, 2, "TIMEZONE: Value error, 'Mars/Base' is no time zone"),
        (("import", "--source", "csv"), {}, 2, "--source csv needs --dir DIR"),
        (("run",), {"REGISTRY_URL": "registry:8001"}, 2, "REGISTRY_URL: String should match pattern"),
        (("run",), {"BUSINESS_DATABASE_URL": "nonsense"}, 2, "BUSINESS_DATABASE_URL: not a usable SQLAlchemy URL"),
        (("run",), {"TIMEZONE": "Shanghai"}, 2, "TIMEZONE: Value error, 'Shanghai' is no time zone"),
        (("run",), {}, 2, "BUSINESS_DATABASE_URL: there is no file"),
        (("run", "--fast"), {}, 2, "unrecognized arguments: --fast"),
    ],
)
def test_an_error_is_one_line_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], code: int, message: str
) -> None:
    failed = pipeline(tmp_path, *arguments, **environment)
    assert failed.returncode == code, failed.stderr
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_an_unreachable_business_database_fails_the_run_without_its_password(tmp_path: Path) -> None:
    failed = pipeline(tmp_path, "run", BUSINESS_DATABASE_URL="mysql://me:topsecret@127.0.0.1:1/shop")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("pipeline: business database: extract: Can't connect")
    assert "topsecret" not in failed.stderr


def test_a_fault_in_the_users_sql_ends_with_2_and_its_file_and_line(tmp_path: Path) -> None:
    assert pipeline(tmp_path, "demo", "--datasets", "100", "--users", "50", "--interactions", "1000").returncode == 0
    for sql, message in {
        b"SELEC id FROM datasets": "pipeline: datasets.sql:1: begins with SELEC",
        b"SELECT id, title\nFROM dataset": "pipeline: datasets.sql:2: no such table: dataset",
        b"SELECT id, title -- \xd6\xd0\nFROM datasets": "pipeline: datasets.sql:1: not UTF-8",
        b"": "pipeline: datasets.sql:1: holds no statement",
        b"SELECT id AS id, title, 'x' AS price FROM datasets": "pipeline: datasets.sql: column price: 'x': is not a",
    }.items():
        (tmp_path / "datasets.sql").write_bytes(sql)
        failed = pipeline(tmp_path, "run", EXTRACTION_SQL=str(tmp_path))
        assert failed.returncode == 2, failed.stderr
        assert failed.stderr.splitlines()[-1].startswith(message)
        assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("setting", "text"), [("PIPELINE_CONFIG", "recall: {chanels: {}}"), ("QUALITY_RULES", "rows: {unusable: 5}")]
)
def test_a_mistake_in_a_users_file_is_found_before_the_run_begins(
    folder: Path, tmp_path: Path, setting: str, text: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    artifacts = tmp_path / "artifacts"
    failed = pipeline(
        folder, "run", "--no-publish", ARTIFACT_URL=str(artifacts), **{setting: str(tmp_path / "mine.yaml")}
    )
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith(f"pipeline: {setting}: {tmp_path / 'mine.yaml'}:1: ")
    assert not artifacts.exists()


def test_an_unreachable_registry_fails_the_run_and_keeps_the_bundle(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text("queries: {most: 200}\n", encoding="utf-8")
    environment = {"REGISTRY_URL": "http://127.0.0.1:1", "ARTIFACT_URL": str(tmp_path), "PIPELINE_CONFIG": str(config)}
    failed = pipeline(folder, "run", **environment)
    assert failed.returncode == 1
    assert "model-registry at http://127.0.0.1:1" in failed.stderr
    assert len(list(tmp_path.glob("runs/*/bundle/bundle.tar.gz"))) == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("run",), {"REGISTRY_TOKEN": "hush-hush\n"}, "REGISTRY_TOKEN: "),
        (("run",), {"ADMIN_TOKEN": "hush-hush-密钥"}, "ADMIN_TOKEN: "),
        (("run",), {"REGISTRY_URL": "http://hush-hush\n"}, "REGISTRY_URL: "),
        (("run",), {"FEATURE_SYNC_URL": "http://hush-hush..a"}, "FEATURE_SYNC_URL: "),
        (("run",), {"GATEWAY_TOKEN": "hush hush-hush"}, "GATEWAY_TOKEN: "),
        (("demo", "--users", "1_000"), {}, "--users"),
        (("demo", "--seed", "-1"), {}, "--seed"),
    ],
)
def test_an_unusable_value_is_named_and_its_secret_is_not_printed(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    failed = pipeline(tmp_path, *arguments, **environment)
    assert failed.returncode == 2, failed.stderr
    assert message in failed.stderr
    assert "hush-hush" not in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_full_disk_is_reported_in_one_line(folder: Path) -> None:
    failed = pipeline(folder, "evaluate", ARTIFACT_URL="/dev/null/artifacts")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("pipeline: /dev/null")
    assert "Traceback" not in failed.stderr
