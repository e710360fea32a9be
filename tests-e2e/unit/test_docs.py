"""The Chinese pages follow the English ones: the same headings, commands and links."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("QUICKSTART", "MONITORING", "OPERATIONS", "FAQ")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", _FENCED.sub("", text), re.MULTILINE)]


def commands(text: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: those that GitHub makes of headings, and explicit ones."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", text), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_has_the_headings_and_commands_of_the_english_one(page: str) -> None:
    english, chinese = ((DOCS / f"{page}{end}.md").read_text(encoding="utf-8") for end in ("", ".zh-CN"))
    assert heading_levels(chinese) == heading_levels(english)
    assert commands(chinese) == commands(english)


@pytest.mark.parametrize("path", sorted([*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]), ids=lambda path: path.name)
def test_every_link_between_pages_has_a_target(path: Path) -> None:
    text = _FENCED.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name) if name else path
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target
