"""Joins actions that are written as separate items: `- alert: immediate`, then `- channel: weixin`.

It changes the YAML nodes, so that a mistake is reported with its own line.
"""

from collections.abc import Iterator

import yaml

_PARTS = ("alert", "channel")


def join_actions(root: yaml.Node) -> None:
    """Join the parts of actions below `rules`, in place; other shapes are not changed."""
    for rules in _values(root, "rules"):
        for rule in rules.value if isinstance(rules, yaml.SequenceNode) else ():
            for actions in _values(rule, "actions"):
                if isinstance(actions, yaml.SequenceNode):
                    actions.value = list(_join(actions.value))


def _values(node: yaml.Node, name: str) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from (value for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == name)


def _join(items: list[yaml.Node]) -> Iterator[yaml.Node]:
    """Yield whole actions: a part is added to the action before it, unless that has such a part already.

    Several channels may follow one alert.
    """
    begun: yaml.MappingNode | None = None
    for item in items:
        part = _part_name(item)
        if part is not None and begun is not None and part not in _names(begun):
            begun = _mapping(begun, [*begun.value, *item.value])
            continue
        if begun is not None:
            yield begun
        if part is None:
            begun = None
            yield item
            continue
        shared = [pair for pair in begun.value if pair[0].value == "alert"] if begun and part == "channel" else []
        begun = _mapping(item, [*shared, *item.value])
    if begun is not None:
        yield begun


def _part_name(item: yaml.Node) -> str | None:
    """Return the name of the one key of an item that is a part of an action, or None."""
    names = _names(item)
    return names[0] if len(names) == 1 and names[0] in _PARTS else None


def _names(item: yaml.Node) -> list[str]:
    return [key.value for key, _ in item.value] if isinstance(item, yaml.MappingNode) else []


def _mapping(begins: yaml.Node, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(begins.tag, pairs, begins.start_mark, begins.end_mark)
