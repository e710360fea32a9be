"""The policy file: its syntax, its decisions, and its reload."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_gateway.policy.evaluation import Decision, decide
from notification_gateway.policy.loading import MAX_BYTES, PolicyError, load_policy, parse_policy
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
        (["airflow", "incremental_update", "extract"], "error", "P1", "Hourly and Weekly Runs"),
        (["airflow", "weekly_report", "report"], "error", "P1", "Hourly and Weekly Runs"),
        (["airflow", "daily", "train"], "fatal", "P0", "Critical Failures"),
        (["model", "deployment_failed"], "error", "P0", "Critical Failures"),
        (["model", "source_not_found"], "error", "P1", None),
        (["database", "business", "extract", "OperationalError"], "error", "P0", "Critical Failures"),
        (["api", "unavailable"], "error", "P0", "Critical Failures"),
        (["api", "unavailable"], "warning", "P2", None),
        (["redis", "connection_failed"], "warning", "P1", "Degradation Events"),
        (["redis", "unexpected_error"], "error", "P1", None),
        (["gateway", "unreadable_alert", "alertmanager recsys"], "warning", "P1", "Degradation Events"),
        (["feature_store", "stale"], "warning", "P1", "Degradation Events"),
        (["feature_store", "lag", "log"], "warning", "P1", "Degradation Events"),
        (["pipeline", "train", "ValueError"], "warning", "P2", "Quality Issues"),
        (["pipeline", "train", "ValueError"], "error", "P1", None),
        (["weixin", "send_message_failed"], "error", "P2", "Quality Issues"),
        (["fallback", "precomputed_used"], "info", "none", None),
        (["anything"], "debug", "none", None),
    ],
)
def test_the_default_policy_gives_each_point_its_priority(
    fingerprint: list[str], level: str, priority: str, rule: str | None
) -> None:
    decision = judge(*fingerprint, level=level)
    assert (decision.priority, decision.rule) == (priority, rule)


@pytest.mark.parametrize(("counted", "priority"), [(10, "P2"), (11, "P1")])
def test_a_rate_rule_matches_only_past_its_threshold(counted: int, priority: str) -> None:
    assert judge("fallback", "redis_failed", level="warning", counted=counted).priority == priority


def test_each_priority_has_its_actions() -> None:
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


def test_a_rate_is_parsed_from_text() -> None:
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


LAUGHS = "".join(f"{name}: &{name} [{', '.join(['*' + known] * 10)}]\n" for known, name in pairwise("abcdefghi"))


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
        ("defaults: {error: P1}\n\n# \x0b\n", 3, "unacceptable character U+000B"),
        ("defaults: {error: P1}\r\n# \x00\r\n", 2, "unacceptable character U+0000"),
        ("defaults: {error: P1}\n\ufeffrules: []\n", 2, "unacceptable character U+FEFF"),
        ("defaults: {<<: 3}\n", 1, "expected a mapping"),
        ("defaults: {error: !!binary é}\n", 1, "base64"),
        ("defaults: !ours {error: P1}\n", 1, "the tag '!ours'"),
        ('defaults: {error: "\\xZZ"}\n', 1, "hexadecimal"),
        ("defaults: {error: !%ff x}\n", 1, "decode"),
        ("defaults: {error: P1}\n\trules: []\n", 2, "cannot start any token"),
        ("defaults: {error: P1}\n---\nrules: []\n", 2, "document"),
        (RULE.replace("{condition}", '{category: "a\\u001b[2J"}'), 6, "unacceptable character U+001B"),
        (RULE.replace("{condition}", '{category: "\\ud800"}'), 6, "unacceptable character U+D800"),
        (RULE.replace("{condition}", '{category: "\\U00110000"}'), 6, "escape"),
        (RULE.replace("{condition}", "{category: 2026-13-40}"), 6, "put a text in quotes"),
        (RULE.replace("{condition}", "{category: 2026-11-24}"), 6, "put it in quotes"),
        (RULE.replace("{condition}", "{category: yes}"), 6, "put it in quotes"),
        (RULE.replace("{condition}", "{category: " + "9" * 5000 + "}"), 6, "put a text in quotes"),
        (RULE.replace("{condition}", "{category: !!bool maybe}"), 6, "put a text in quotes"),
        (RULE.replace("{condition}", "{category: !!timestamp x}"), 6, "put a text in quotes"),
        (RULE.replace("{condition}", "{category: !!python/object/apply:os.system [ls]}"), 6, "python"),
        (RULE.replace("{condition}", "{? [a, b] : c}"), 6, "a key is a text"),
        (RULE.replace("{condition}", "{category: a, rate: '> " + "9" * 5000 + " per hour'}"), 6, "per hour"),
        ("defaults: {error: P1}\nescalation: {after_minutes: .nan, channels: [email]}\n", 2, "after_minutes"),
        *(
            (
                f"defaults: {{error: P1}}\nescalation: {{after_minutes: {number}, channels: [email]}}\n",
                2,
                "digits 0 to 9",
            )
            for number in ("017", "1:30", "1_5", "0x1f", "0b11", "+15", "1_5.0", "1:30.5")
        ),
        ("defaults: {error: P1}\nescalation: {after_minutes: 1e400, channels: [email]}\n", 2, "after_minutes"),
        ("- defaults\n", 1, "a policy is `defaults:` and `rules:`"),
        ("just a text\n", 1, "a policy is `defaults:` and `rules:`"),
        ("defaults: {error: P1}\nrules: " + "[" * 100_000, 2, "nested deeper"),
        ("defaults: {error: P1}\nrules:\n  " + "- " * 5000, 3, "nested deeper"),
        ("defaults: &a {error: *a}\n", 1, "an alias within what it stands for"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + LAUGHS + "defaults: {error: P1}\n", 1, "stands for more than"),
        ("%YAML " + "9" * 5000 + ".1\n---\ndefaults: {}\n", 1, "can't hold"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_advice(text: str, line: int, advice: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "alerts.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, advice in problem.message) == (line, True), problem
    assert str(caught.value).startswith(f"alerts.yaml:{line}: ")


SEED = """defaults: {error: P1}
rules:
  - name: one
    conditions:
      - fingerprint: ["airflow", "*", "*"]
        level: error
    actions:
      - alert: immediate
      - channel: weixin
"""


@pytest.mark.parametrize(
    ("actions", "priority", "expected"),
    [
        (["alert: immediate", "channel: weixin"], "P0", [("immediate", "weixin")]),
        (["channel: email", "alert: hourly_summary"], "P1", [("hourly_summary", "email")]),
        (["alert: daily_digest", "channel: dashboard"], "P2", [("daily_digest", "dashboard")]),
        (
            ["alert: immediate", "channel: weixin", "channel: email"],
            "P0",
            [("immediate", "weixin"), ("immediate", "email")],
        ),
        (
            ["alert: daily_digest", "channel: dashboard", "alert: hourly_summary", "channel: email"],
            "P1",
            [("daily_digest", "dashboard"), ("hourly_summary", "email")],
        ),
        (
            ["alert: immediate", "channel: weixin", "{alert: daily_digest, channel: email}"],
            "P0",
            [("immediate", "weixin"), ("daily_digest", "email")],
        ),
    ],
)
def test_an_action_may_be_written_item_by_item_and_gives_its_rule_the_priority(
    actions: list[str], priority: str, expected: list[tuple[str, str]]
) -> None:
    written = "".join(f"      - {action}\n" for action in actions)
    (rule,) = parse_policy(SEED.partition("      - alert")[0] + written, "alerts.yaml").rules
    assert rule.priority == priority
    assert [(action.alert, action.channel) for action in rule.actions] == expected


def test_an_explicit_priority_overrides_that_of_the_actions() -> None:
    (rule,) = parse_policy(SEED.replace("name: one", "name: one\n    priority: P2"), "alerts.yaml").rules
    assert rule.priority == "P2"


def test_actions_behind_an_alias_are_joined_once() -> None:
    second = SEED.partition("rules:\n")[2].replace("one", "two").partition("      - alert")[0].rstrip()
    text = SEED.replace("actions:", "actions: &page") + f"{second} *page\n"
    assert [len(rule.actions) for rule in parse_policy(text, "alerts.yaml").rules] == [1, 1]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (SEED.replace("weixin", "sms"), 9, "rules.0.actions.0.channel"),
        (SEED.replace("immediate", "now"), 8, "rules.0.actions.0.alert"),
        (SEED.replace("      - channel: weixin\n", ""), 8, "rules.0.actions.0.channel: Field required"),
        (SEED.replace("      - alert: immediate\n", ""), 8, "rules.0.actions.0.alert: Field required"),
        (SEED.replace("weixin", "dashboard"), 8, "the dashboard sends no immediate messages"),
        (SEED.replace('"airflow", "*", "*"', "airflow, *, *"), 5, "put globs in quotes"),
    ],
)
def test_a_mistake_in_an_action_of_two_items_keeps_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "alerts.yaml")
    assert [(problem.line, message in problem.message) for problem in caught.value.problems] == [(line, True)]


@pytest.mark.parametrize("value", ["!!int {a: b}", "!!int [1]", "!!float {a: b}", "!!float []"])
def test_a_number_that_is_a_list_or_a_mapping_is_named_with_its_line(value: str) -> None:
    with pytest.raises(PolicyError) as raised:
        parse_policy(f"defaults: {{}}\nrules: {value}\n", "alerts.yaml")
    assert raised.value.problems[0].line == 2


@pytest.mark.parametrize("key", ["1", "~", "true", "on", "1.5", "2026-01-01", "=", "!!int 3"])
def test_a_key_that_is_not_a_text_is_named_with_its_line(key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(f"defaults: {{error: P1}}\n{key}: x\n", "alerts.yaml")
    assert [(problem.line, "is not a text" in problem.message) for problem in caught.value.problems] == [(2, True)]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("defaults: {error: P1}\n# 告警\n".encode("gbk"), 2),
        ("defaults: {error: P1}\n".encode("utf-16"), 1),
        ("defaults: {error: P1}\n".encode("utf-16-le"), 1),
        (b"defaults: {error: P1}\n# \xff\n", 2),
        (b"#" * (MAX_BYTES + 1), 1),
    ],
)
def test_a_file_that_is_not_utf_8_is_rejected_with_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert [problem.line for problem in caught.value.problems] == [line]


def test_a_byte_order_mark_and_crlf_are_accepted() -> None:
    text = POLICY.read_text(encoding="utf-8").replace("\n", "\r\n")
    assert parse_policy(text.encode("utf-8-sig"), "alerts.yaml") == SHIPPED


def test_anchors_and_merges_may_be_used() -> None:
    text = """defaults: {error: P1}
rules:
  - &first
    name: one
    priority: P0
    conditions: [{category: a}]
    actions: [{alert: immediate, channel: weixin}]
  - <<: *first
    name: two
"""
    assert [rule.name for rule in parse_policy(text, "alerts.yaml").rules] == ["one", "two"]


WORDS = """defaults: rules: conditions: {error:P1} P1 null yes { } [ ] &a *a << : ? ! !!int !!set !!omap !!binary
!!python/name:os " ' \\U 0x .nan 2026-01-01 1:30 | > %TAG --- ... = 1_0 -"""
PIECES = st.sampled_from(
    [*WORDS.split(), "\n", "\n", "\n  ", " ", ": ", "- ", "\t", "\x07", "\ufeff", "\ud800", "9" * 5000]
)


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40) | st.binary(max_size=40))
def test_any_content_is_a_policy_or_a_policy_error_with_a_line(content: str | bytes) -> None:
    try:
        parse_policy(content, "alerts.yaml")
    except PolicyError as error:
        lines = len(content.splitlines())
        misplaced = [problem for problem in error.problems if not 1 <= problem.line <= lines + 2]
        if misplaced:
            pytest.fail(f"{misplaced} of {lines} lines")


def test_two_rules_of_one_name_are_rejected() -> None:
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

    def test_a_valid_edit_is_loaded(self, path: Path) -> None:
        held = PolicyFile(path)
        held.load()
        path.write_text("defaults: {error: P0}\n", encoding="utf-8")
        held.refresh()
        assert (held.policy, held.error) == (Policy(defaults={"error": "P0"}), None)

    def test_an_invalid_edit_keeps_the_old_policy_and_shows_the_error_until_it_is_corrected(self, path: Path) -> None:
        held = PolicyFile(path)
        held.load()
        path.write_text("defaults: {error: P7}\n", encoding="utf-8")
        held.refresh()
        assert held.policy == SHIPPED
        assert held.error is not None
        assert "alerts.yaml:1: defaults.error" in held.error
        path.write_text("defaults: {error: P1}\n", encoding="utf-8")
        held.refresh()
        assert (held.policy, held.error) == (Policy(defaults={"error": "P1"}), None)

    @pytest.mark.parametrize("content", [b"# \x0b\n", b"\xff", b"[" * 10_000, b"defaults: {error: 2026-13-40}\n"])
    def test_any_invalid_content_is_shown_as_the_error_and_the_old_policy_stays(
        self, path: Path, content: bytes
    ) -> None:
        held = PolicyFile(path)
        held.load()
        path.write_bytes(content)
        held.refresh()
        assert held.policy == SHIPPED
        assert held.error is not None
        assert held.error.startswith(f"{path}:1: ")

    def test_a_folder_in_place_of_the_file_keeps_the_old_policy(self, path: Path) -> None:
        held = PolicyFile(path)
        held.load()
        path.unlink()
        path.mkdir()
        held.refresh()
        assert (held.policy, held.error) == (SHIPPED, f"{path}:1: cannot be read: not a file")

    def test_a_deleted_file_keeps_the_old_policy(self, path: Path) -> None:
        held = PolicyFile(path)
        held.load()
        path.unlink()
        held.refresh()
        assert held.policy == SHIPPED
        assert held.error is not None

    def test_without_a_valid_policy_it_does_not_start(self, path: Path) -> None:
        path.write_text("rules: *", encoding="utf-8")
        with pytest.raises(PolicyError):
            PolicyFile(path).load()
