from pathlib import Path

import pytest

from model_registry import cli
from native.ports import Ports
from ranking.testing import tiny_archive
from running_registry import RunningRegistry


def _run(registry: RunningRegistry, *arguments: str, token: str = "the-registry-token") -> int:
    return cli.main(["--url", registry.url, "--token", token, *arguments])


def test_a_pipeline_pushes_deploys_and_rolls_back(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        archive = tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed)
        assert _run(registry, "push", str(archive), "--deploy", "--reason", "nightly") == cli.OK
    assert _run(registry, "rollback") == cli.OK
    assert _run(registry, "status") == cli.OK
    assert "ranker is back at 1 (was 2)" in capsys.readouterr().out
    assert registry.active() == "1"


def test_exit_codes_tell_a_refusal_from_a_wrong_call_and_from_an_outage(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tiny_archive(tmp_path / "good.tar.gz", seed=1, ndcg=0.3)
    worse = tiny_archive(tmp_path / "worse.tar.gz", seed=2, ndcg=0.1)
    assert _run(registry, "push", str(good), "--deploy") == cli.OK
    assert _run(registry, "push", str(worse), "--deploy") == cli.REFUSED
    assert "gate" in capsys.readouterr().err
    assert _run(registry, "push", str(tmp_path / "absent.tar.gz")) == cli.USAGE
    assert _run(registry, "deploy", "1", token="wrong") == cli.USAGE
    assert _run(registry, "deploy", "1", token="") == cli.USAGE
    assert _run(registry, "status", token="") == cli.OK
    assert cli.main(["--url", f"http://127.0.0.1:{Ports.free().api}", "status"]) == cli.UNREACHABLE
