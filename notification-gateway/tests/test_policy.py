"""What the policy file may say, and what it decides."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.loading import PolicyError, load_policy, parse_policy
from notification_gateway.policy.matching import Subject, fingerprint_matches
from notification_gateway.policy.model import Condition, Policy, Rate
from notification_gateway.policy.watching import PolicyFile
from running_gateway import POLICY

SHIPPED = load_policy(POLICY)


def judge(*fingerprint: str, level: str = "error", category: str = "", counted: int = 0) -> Decision:
    subject = Subject(fingerprint, level, category or fingerprint[0], "some-service")  # type: ignore[arg-type]
    return decide(SHIPPED, subject, lambda condition, rate: counted)


@pytest.mark.parametrize(
    ("pattern", "fingerprint", "expected"),
    [
        (["airflow", "*", "*"], ["airflow", "dag", "task"], True),
        (["airflow", "*", "*"], ["airflow", "dag"], False),
        (["airflow", "*"], ["airflow", "dag", "task"], False),
        (["air*", "d?g", "[st]ask"], ["airflow", "dag", "task"], True),
        (["airflow", "**"], ["airflow", "dag", "task"], True),
        (["airflow", "**"], ["airflow"], True),
        (["**"], ["anything", "at", "all"], True),
        (["airflow", "dag", "**"], ["airflow"], False),
        (["Airflow", "*"], ["airflow", "dag"], False),
        (["a.b", "*"], ["axb", "c"], False),
        (["*", "x"], ["", "x"], True),
    ],
)
def test_fingerprints_match_part_by_part_and_a_last_double_star_any_number(
    pattern: list[str], fingerprint: list[str], expected: bool
) -> None:
    assert fingerprint_matches(pattern, fingerprint) is expected


@given(st.lists(st.text(max_size=5), max_size=5))
def test_as_many_stars_as_parts_match_any_fingerprint(fingerprint: list[str]) -> None:
    assert fingerprint_matches(["*"] * len(fingerprint), fingerprint)
    assert not fingerprint_matches(["*"] * (len(fingerprint) + 1), fingerprint)


@pytest.mark.parametrize(
    ("fingerprint", "level", "priority", "rule"),
    [
        (["airflow", "daily", "train"], "error", "P0", "Critical Failures"),
        (["airflow", "daily", "train"], "warning", "P2", None),
        (["airflow", "daily", "train"], "fatal", "P0", "Critical Failures"),
        (["model", "deployment_failed"], "error", "P0", "Critical Failures"),
        (["model", "source_not_found"], "error", "P1", None),
        (["database", "business", "extract", "OperationalError"], "error", "P0", "Critical Failures"),
        (["redis", "connection_failed"], "warning", "P1", "Degradation Events"),
        (["redis", "unexpected_error"], "error", "P1", None),
        (["pipeline", "train", "ValueError"], "warning", "P2", "Quality Issues"),
        (["pipeline", "train", "ValueError"], "error", "P1", None),
        (["weixin", "send_message_failed"], "error", "P2", "Quality Issues"),
        (["fallback", "precomputed_used"], "info", "none", None),
        (["anything"], "debug", "none", None),
    ],
)
def test_the_shipped_policy_gives_each_point_its_priority(
    fingerprint: list[str], level: str, priority: str, rule: str | None
) -> None:
    decision = judge(*fingerprint, level=level)
    assert (decision.priority, decision.rule) == (priority, rule)


@pytest.mark.parametrize(("counted", "priority"), [(10, "P2"), (11, "P1")])
def test_a_rate_rule_matches_only_past_its_threshold(counted: int, priority: str) -> None:
    assert judge("fallback", "redis_failed", level="warning", counted=counted).priority == priority


def test_priorities_bring_their_actions() -> None:
    actions = {
        judge(*fingerprint, level=level).priority: judge(*fingerprint, level=level).actions
        for fingerprint, level in ((("x",), "error"), (("x",), "warning"), (("airflow", "a", "b"), "error"))
    }
    assert {priority: (action.alert, action.channel) for priority, (action,) in actions.items()} == {
        "P0": ("immediate", "weixin"),
        "P1": ("hourly_summary", "email"),
        "P2": ("daily_digest", "dashboard"),
    }


def test_conditions_are_ored_and_their_keys_anded() -> None:
    policy = parse_policy(
        """
defaults: {error: none}
rules:
  - name: both
    priority: P0
    conditions:
      - {service: api, category: redis, level: error}
      - {category: model}
    actions: [{alert: immediate, channel: weixin}]
""",
        "p.yaml",
    )

    def rule(service: str, category: str, level: str) -> str | None:
        subject = Subject(("x",), level, category, service)  # type: ignore[arg-type]
        return decide(policy, subject, lambda condition, rate: 0).rule

    assert rule("api", "redis", "error") == "both"
    assert rule("api", "redis", "warning") is None
    assert rule("sync", "redis", "error") is None
    assert rule("sync", "model", "info") == "both"


def test_a_rate_is_read_from_words() -> None:
    condition = Condition.model_validate({"category": "x", "rate": "> 3 per minute"})
    assert condition.rate == Rate(threshold=3, window=timedelta(minutes=1))
    assert str(condition.rate) == "> 3 per minute"


RULE = """defaults: {error: P1}
rules:
  - name: one
    priority: P0
    conditions:
      - {condition}
    actions:
      - {alert: immediate, channel: weixin}
"""


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        (RULE.replace("{condition}", "{fingerprint: [airflow, *, *]}"), 6, "put globs in quotes"),
        (RULE.replace("{condition}", "{fingerprint: [airflow, *]}"), 6, "put globs in quotes"),
        (RULE.replace("{condition}", "{fingerprint: *}"), 6, "put globs in quotes"),
        (RULE.replace("{condition}", "{fingerprint: [airflow, *any]}"), 6, "put globs in quotes"),
        (RULE.replace("{condition}", "{fingerprint: [api, 500]}"), 6, "put it in quotes"),
        (RULE.replace("{condition}", "{fingerprint: [a, '**', b]}"), 6, "only be the last part"),
        (RULE.replace("{condition}", "{rate: '> 1 per hour'}"), 6, "at least one of"),
        (RULE.replace("{condition}", "{category: a, rate: 10}"), 6, '"> 10 per hour"'),
        (RULE.replace("{condition}", "{categroy: a}"), 6, "categroy"),
        (RULE.replace("{condition}", "{level: bad}"), 6, "level"),
        (RULE.replace("{condition}", "{category: a}").replace("P0", "P9"), 4, "priority"),
        (RULE.replace("{condition}", "{category: a}").replace("channel: weixin", "channel: sms"), 8, "channel"),
        (RULE.replace("{condition}", "{category: a}") + "defaults: {error: P0}\n", 9, "twice"),
        ("rules: []\n", 1, "defaults"),
        ("", 1, "empty"),
        ("defaults: {error: P1\n", 2, "expected"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_advice(text: str, line: int, advice: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "alerts.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, advice in problem.message) == (line, True), problem
    assert str(caught.value).startswith(f"alerts.yaml:{line}: ")


def test_two_rules_of_one_name_are_refused() -> None:
    text = RULE.replace("{condition}", "{category: a}")
    with pytest.raises(PolicyError, match="two rules are named 'one'"):
        parse_policy(text + text.partition("rules:\n")[2], "alerts.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere.yaml:1: cannot be read"):
        load_policy(tmp_path / "nowhere.yaml")


class TestReload:
    """The policy in use follows its file."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "alerts.yaml"
        path.write_text(POLICY.read_text(encoding="utf-8"), encoding="utf-8")
        return path

    def test_a_good_edit_is_taken(self, path: Path) -> None:
        held = PolicyFile(path)
        path.write_text("defaults: {error: P0}\n", encoding="utf-8")
        held.refresh()
        assert (held.policy, held.error) == (Policy(defaults={"error": "P0"}), None)

    def test_a_bad_edit_keeps_the_old_and_says_why_until_it_is_mended(self, path: Path) -> None:
        held = PolicyFile(path)
        path.write_text("defaults: {error: P7}\n", encoding="utf-8")
        held.refresh()
        assert held.policy == SHIPPED
        assert held.error is not None
        assert "alerts.yaml:1: defaults.error" in held.error
        path.write_text("defaults: {error: P1}\n", encoding="utf-8")
        held.refresh()
        assert (held.policy, held.error) == (Policy(defaults={"error": "P1"}), None)

    def test_a_deleted_file_keeps_the_old(self, path: Path) -> None:
        held = PolicyFile(path)
        path.unlink()
        held.refresh()
        assert held.policy == SHIPPED
        assert held.error is not None

    def test_without_a_valid_policy_it_does_not_start(self, path: Path) -> None:
        path.write_text("rules: *", encoding="utf-8")
        with pytest.raises(PolicyError):
            PolicyFile(path)
