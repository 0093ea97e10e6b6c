"""Renders the chart as far as it uses Helm's language; anything else is an error, so that no template is half read.

`helm template` is the judge where it is installed: `tests/contract/test_chart.py` compares both.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

_ACTION = re.compile(r"\{\{(-)?\s*(/\*.*?\*/|.*?)\s*(-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\(|\)|\||[^\s()|]+')

Scope = Mapping[str, Any]


class ChartError(Exception):
    """An error raised by a template itself (`fail`, `required`)."""


@dataclass(slots=True)
class Node:
    """Text, an expression, or a block with its branches: each a condition (None for `else`) and what follows it."""

    kind: str
    text: str = ""
    branches: list[tuple[str | None, list["Node"]]] = field(default_factory=list)


class Chart:
    """The chart in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about: dict[str, Any] = yaml.safe_load((folder / "Chart.yaml").read_text(encoding="utf-8"))
        self.values: dict[str, Any] = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
        self._defined: dict[str, list[Node]] = {}

    def render(self, changes: Mapping[str, Any], release: str = "claude-cost") -> list[dict[str, Any]]:
        """Every object, as with `--values`. Raises `ChartError`."""
        names = sorted(path.name for path in (self.folder / "templates").glob("*.yaml"))
        texts = [self.text("_helpers.tpl", changes, release), *(self.text(name, changes, release) for name in names)]
        return [found for text in texts for found in yaml.safe_load_all(text) if found]

    def text(self, template: str, changes: Mapping[str, Any], release: str = "claude-cost") -> str:
        """One template as it is written out. Raises `ChartError`."""
        # Names and fields of Helm's objects begin with a capital letter.
        chart = {name[:1].upper() + name[1:]: value for name, value in self.about.items()}
        root = {
            "Values": _merged(self.values, changes),
            "Chart": chart,
            "Release": {"Name": release, "Namespace": "default", "Service": "Helm"},
        }
        source = (self.folder / "templates" / template).read_text(encoding="utf-8")
        return self._written(_parsed(source), root)

    def _written(self, nodes: Sequence[Node], dot: Any) -> str:
        return "".join(self._write(node, dot) for node in nodes)

    def _write(self, node: Node, dot: Any) -> str:
        if node.kind == "text":
            return node.text
        if node.kind == "expression":
            value = self._value(node.text, dot)
            return "" if value is None else _shown(value)
        if node.kind == "define":
            self._defined[json.loads(node.text)] = node.branches[0][1]
            return ""
        for condition, body in node.branches:
            value = True if condition is None else self._value(condition, dot)
            if value:
                return self._written(body, value if node.kind == "with" else dot)
        return ""

    def _value(self, expression: str, dot: Any) -> Any:
        tokens = _TOKEN.findall(expression)
        value = self._pipeline(tokens, dot)
        if tokens:
            raise ValueError(f"not understood: {expression}")
        return value

    def _pipeline(self, tokens: list[str], dot: Any) -> Any:
        value = self._call(tokens, dot, ())
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            value = self._call(tokens, dot, (value,))
        return value

    def _call(self, tokens: list[str], dot: Any, piped: tuple[Any, ...]) -> Any:
        first = tokens[0]
        if first == ".Files.Get":
            tokens.pop(0)
            return (self.folder / str(self._operand(tokens, dot))).read_text(encoding="utf-8")
        if not re.fullmatch(r"[a-zA-Z]\w*", first) or first in ("true", "false"):
            return self._operand(tokens, dot)
        name = tokens.pop(0)
        arguments: list[Any] = []
        while tokens and tokens[0] not in ("|", ")"):
            arguments.append(self._operand(tokens, dot))
        if name == "include":
            template, scope = arguments
            return self._written(self._defined_as(template), scope)
        return FUNCTIONS[name](*arguments, *piped)

    def _defined_as(self, name: str) -> list[Node]:
        if name not in self._defined:
            helpers = (self.folder / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
            self._written(_parsed(helpers), {})
        return self._defined[name]

    def _operand(self, tokens: list[str], dot: Any) -> Any:
        token = tokens.pop(0)
        if token == "(":
            value = self._pipeline(tokens, dot)
            if tokens.pop(0) != ")":
                raise ValueError("a bracket is not closed")
            return value
        if token.startswith('"'):
            return json.loads(token)
        if re.fullmatch(r"\d+", token):
            return int(token)
        if not re.fullmatch(r"\.(\w+(\.\w+)*)?", token):
            raise ValueError(f"not understood: {token}")
        value = dot
        for name in filter(None, token.split(".")):
            # Helm ignores a misspelled value.
            value = value[name]
        return value


def _refuse(text: str) -> NoReturn:
    raise ChartError(text)


def _needed(text: str, value: Any) -> Any:
    if not value:
        _refuse(text)
    return value


def _nindent(number: int, text: str) -> str:
    return "\n" + "\n".join(f"{' ' * number}{line}" if line else line for line in str(text).split("\n"))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "default": lambda fallback, value: value or fallback,
    "fail": _refuse,
    "gt": lambda one, other: one > other,
    "int": int,
    "nindent": _nindent,
    "not": lambda value: not value,
    "printf": lambda form, *values: form % tuple(map(_shown, values)),
    "quote": lambda value: json.dumps(_shown(value), ensure_ascii=False),
    "required": _needed,
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False, allow_unicode=True).rstrip("\n"),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
}


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merged(values: Any, changes: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(changes, Mapping):
        return changes
    return {**values, **{name: _merged(values.get(name), change) for name, change in changes.items()}}


def _parsed(source: str) -> list[Node]:
    nodes, rest = _block(_pieces(source))
    if rest is not None:
        raise ValueError(f"{rest} without a beginning")
    return nodes


def _pieces(source: str) -> Iterator[Node]:
    position, trims = 0, False
    for found in _ACTION.finditer(source):
        text = source[position : found.start()]
        text = text.lstrip() if trims else text
        yield Node("text", text.rstrip() if found[1] else text)
        position, trims = found.end(), bool(found[3])
        if not found[2].startswith("/*"):
            yield Node("action", found[2])
    yield Node("text", source[position:].lstrip() if trims else source[position:])


def _block(pieces: Iterator[Node]) -> tuple[list[Node], str | None]:
    """The nodes up to `else` or `end`, and that word."""
    nodes: list[Node] = []
    for piece in pieces:
        word, _, rest = piece.text.partition(" ")
        if piece.kind == "text":
            nodes.append(piece)
        elif word in ("else", "end"):
            return nodes, piece.text
        elif word in ("if", "with", "define"):
            node = Node(word, rest)
            condition: str | None = rest
            while True:
                body, closed = _block(pieces)
                node.branches.append((condition, body))
                if closed is None:
                    raise ValueError(f"{piece.text} without an end")
                if closed == "end":
                    break
                condition = closed.removeprefix("else").removeprefix(" if ").strip() or None
            nodes.append(node)
        else:
            nodes.append(Node("expression", piece.text))
    return nodes, None
