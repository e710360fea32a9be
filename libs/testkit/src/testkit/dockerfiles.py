"""What an image is made of, by the `build` of its service in the compose file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_STAGE = re.compile(r"FROM (\S+)(?: AS (\S+))?")


def image_lines(checkout: Path, build: Mapping[str, Any]) -> list[str]:
    """Return the lines of the Dockerfile that make an image: those of its stage and of the stages it stands on."""
    text = (checkout / build["dockerfile"]).read_text(encoding="utf-8").replace("\\\n", "")
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    for name, value in (defaults | dict(build.get("args", {}))).items():
        text = text.replace(f"${{{name}}}", value)
    bases: dict[str, str] = {}
    stages: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if found := _STAGE.fullmatch(line):
            name = found[2] or build["dockerfile"]
            bases[name], stages[name] = found[1], []
        elif name and line and not line.startswith("#"):
            stages[name].append(line)
    stage: str | None = build.get("target", name)
    lines: list[str] = []
    while stage in stages:
        lines = stages[stage] + lines
        stage = bases.get(stage)
    return lines
