"""Reads YAML safely: every error that a text can cause becomes one problem with its line."""

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import Reader, ReaderError

MAX_DEPTH = 20
# Counted with aliases expanded: a few lines of aliases can stand for millions of values.
MAX_NODES = 50_000

_STAR_ADVICE = 'a bare * is not YAML (it starts an alias): put globs in quotes, as in [airflow, "*", "*"]'
_LINE_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
# Not allowed in subjects, pages and the database: C0 and C1 controls, line separators, lone surrogates.
_UNACCEPTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


# YAML 1.1 reads 017 as 15, 1:30 as 90 and 1_5 as 15, which is never intended here.
_INT = re.compile(r"0|-?[1-9][0-9]*")
_ODD_FLOAT = re.compile(r"[_:]")
_TAG = "tag:yaml.org,2002:"
_KEY_TAGS = (f"{_TAG}str", f"{_TAG}merge")
MAX_KEY_CHARS = 40
_BYTE_ORDER_MARK = "\ufeff"


class UnreadableYamlError(ValueError):
    """The text can't be used; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str, rewrite: Callable[[yaml.Node], None]) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a text, which have lines, and its data; raises `UnreadableYamlError`.

    `rewrite` may change the nodes in place before their data is built.
    """
    _check_characters(text)
    _check_depth(text)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return None, None
        _Bounds().check(root, 1)
        rewrite(root)
        # Composed again, because building the data merges `<<` into the nodes.
        data = _build(text, rewrite)
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(error) from error
    return root, data


def _build(text: str, rewrite: Callable[[yaml.Node], None]) -> Any:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        rewrite(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """A safe loader that names the line of a value that isn't what its tag says (`2026-13-40`, `!!int x`)."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return the value of a node; raises `ConstructorError` for any invalid value."""
        is_scalar = isinstance(node, yaml.ScalarNode)
        if (node.tag == f"{_TAG}int" and not (is_scalar and _INT.fullmatch(node.value))) or (
            node.tag == f"{_TAG}float" and not (is_scalar and not _ODD_FLOAT.search(node.value))
        ):
            problem = "write a number in the digits 0 to 9, without separators or leading zero (put a text in quotes)"
            raise ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            # Raised by int(), float(), datetime() or a dictionary's look-up for the text in the file.
            kind = node.tag.removeprefix(_TAG)
            problem = f"this can't be read as {kind} (put a text in quotes)"
            raise ConstructorError(None, None, problem, node.start_mark) from error


class _Bounds:
    """Counts nodes as if aliases were written out, and checks the text of each."""

    def __init__(self) -> None:
        self._count = 0

    def check(self, node: yaml.Node, depth: int) -> None:
        """Raise `UnreadableYamlError` for too much depth, too many values, or forbidden characters."""
        line = node.start_mark.line + 1
        self._count += 1
        if depth > MAX_DEPTH:
            raise UnreadableYamlError(
                line, f"nested deeper than {MAX_DEPTH} levels, or an alias within what it stands for"
            )
        if self._count > MAX_NODES:
            raise UnreadableYamlError(line, f"stands for more than {MAX_NODES} values")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise UnreadableYamlError(key.start_mark.line + 1, "a key is a text")
                if key.tag not in _KEY_TAGS:
                    problem = f"the key {key.value[:MAX_KEY_CHARS]!r} is not a text (put it in quotes)"
                    raise UnreadableYamlError(key.start_mark.line + 1, problem)
                self.check(key, depth + 1)
                self.check(value, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.check(item, depth + 1)
        elif found := _UNACCEPTABLE.search(node.value):
            raise UnreadableYamlError(line, f"unacceptable character U+{ord(found[0]):04X} in a text")


def _check_characters(text: str) -> None:
    if found := Reader.NON_PRINTABLE.search(text):
        raise UnreadableYamlError(_line_at(text, found.start()), f"unacceptable character U+{ord(found[0]):04X}")
    # From joined files; the reader would treat it as part of a word.
    if (at := text.find(_BYTE_ORDER_MARK, 1)) > 0:
        raise UnreadableYamlError(_line_at(text, at), "unacceptable character U+FEFF (a byte order mark)")


def _check_depth(text: str) -> None:
    """Check the depth by parser events, since the composer, unlike the parser, recurses as deep as the text nests."""
    loader = yaml.SafeLoader(text)
    try:
        line = _first_too_deep(loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(error) from error
    except (ValueError, OverflowError, ReaderError) as error:
        # chr() of "\\U00110000", int() of a version of 5,000 digits.
        raise UnreadableYamlError(loader.line + 1, "a number or an escape that YAML can't hold") from error
    finally:
        loader.dispose()
    if line is not None:
        raise UnreadableYamlError(line, f"nested deeper than {MAX_DEPTH} levels")


def _first_too_deep(loader: yaml.SafeLoader) -> int | None:
    depth = 0
    while loader.check_event():
        event = loader.get_event()  # type: ignore[no-untyped-call]
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return int(event.start_mark.line) + 1
    return None


def _syntax_problem(error: yaml.MarkedYAMLError) -> UnreadableYamlError:
    mark = error.problem_mark or error.context_mark
    message = error.problem or "not YAML"
    if "alias" in f"{error.context} {error.problem}":
        message = _STAR_ADVICE
    return UnreadableYamlError(mark.line + 1 if mark else 1, message)


def _line_at(text: str, position: int) -> int:
    return sum(1 for _ in _LINE_BREAK.finditer(text, 0, position)) + 1
