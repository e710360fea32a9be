"""Severities as people and tools write them: Prometheus, Grafana, Sentry, syslog, Zabbix, PagerDuty, Opsgenie, clouds.

An unknown word may mean that something is wrong, so the caller counts it as an error.
"""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from contracts.signals import Level

# A level of ours stands for itself. Where tools disagree about a word, it has the higher of the levels.
_WORDS: Mapping[Level, str] = MappingProxyType(
    {
        "fatal": "fatal",
        "error": """
            critical crit error err errors severe serious emergency emerg panic alert alerting alarm page paging pager
            disaster catastrophic outage down unreachable failed failure blocker urgent immediate highest high major
            average important p0 p1 p2 sev0 sev1 sev2 s0 s1 s2 severity0 severity1 severity2 priority0 priority1
            priority2 prio0 prio1 prio2 red 致命 紧急 严重 灾难 危急 重大 重要 错误 故障 高 高危
        """,
        "warning": """
            warning warn minor moderate medium mid low lowest ticket p3 p4 sev3 sev4 s3 s4 severity3 severity4 priority3
            priority4 prio3 prio4 yellow orange 警告 预警 次要 一般 中 中等 中危 低 低危
        """,
        "info": """
            info information informational notice none ok okay normal trivial p5 sev5 s5 severity5 priority5 prio5
            green 信息 通知 提示 正常 无
        """,
        "debug": "debug trace verbose 调试",
    }
)
_LEVELS: Mapping[str, Level] = MappingProxyType(
    {word: level for level, words in _WORDS.items() for word in words.split()}
)
# "SEV-1", "sev 1" and "severity::1" are one word; what decorates a word is none of it.
_BETWEEN = re.compile(r"[\W_]+")
MAX_WORD_CHARS = 64


def parse_severity(text: str) -> Level | None:
    """Return the level that a word stands for, in any case and spelling; None for an unknown word."""
    if len(text) > MAX_WORD_CHARS:
        return None
    return _LEVELS.get(_BETWEEN.sub("", unicodedata.normalize("NFKC", text).casefold()))
