"""Follows the labels through an expression of PromQL: which its result has, and which names in it nothing has."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    ValueType,
    VectorMatchCardinality,
    VectorSelector,
    parse,
    walk,
)

OF_TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to everything that it scrapes."""

OF_GRAFANA = {"$__rate_interval": "5m"}
"""What Grafana puts in place of its own variables."""

WITHOUT_LABELS = {"absent"}


def parsed(expression: str) -> Expr:
    """As Prometheus reads it. Raises `ValueError`."""
    for variable, value in OF_GRAFANA.items():
        expression = expression.replace(variable, value)
    return parse(expression)


def nodes(expression: str) -> list[Expr]:
    """Every part of an expression."""
    found: list[Expr] = []
    walk(parsed(expression), found.append)
    return found


def selectors(expression: str) -> list[VectorSelector]:
    """Every selection of series, those over a time too."""
    return [node for node in nodes(expression) if isinstance(node, VectorSelector)]


@dataclass
class Reading:
    """`series`: the labels of each, by its name. `closed`: labels whose values are known. `mistakes`: what is wrong."""

    series: Mapping[str, AbstractSet[str]]
    closed: Mapping[str, AbstractSet[str]]
    mistakes: list[str] = field(default_factory=list)

    def labels(self, node: Expr) -> set[str] | None:
        """The labels of its result; None for a number. Adds to `mistakes`."""
        match node:
            case NumberLiteral():
                return None
            case ParenExpr():
                return self.labels(node.expr)
            case MatrixSelector():
                return self.labels(node.vector_selector)
            case VectorSelector():
                return self._selected(node)
            case Call():
                return self._called(node)
            case AggregateExpr():
                return self._aggregated(node)
            case BinaryExpr():
                return self._combined(node)
        raise ValueError(f"not understood: {type(node).__name__}")

    def _selected(self, node: VectorSelector) -> set[str]:
        name = str(node.name)
        if name not in self.series:
            self.mistakes.append(f"no metric {name}")
        labels = self.series.get(name, set()) | OF_TARGET
        for matcher in node.matchers.matchers:
            if matcher.name not in labels:
                self.mistakes.append(f"{name} has no label {matcher.name}")
            elif matcher.op == MatchOp.Equal and matcher.value not in self.closed.get(matcher.name, {matcher.value}):
                self.mistakes.append(f"no {matcher.name} is {matcher.value}")
        return set(labels)

    def _called(self, node: Call) -> set[str] | None:
        name = node.func.name
        given = [labels for argument in node.args if (labels := self.labels(argument)) is not None]
        if node.func.return_type == ValueType.Scalar:
            return None
        (labels,) = given
        if name == "histogram_quantile":
            self._needs({"le"}, labels, "histogram_quantile")
            return labels - {"le"}
        return set() if name in WITHOUT_LABELS else labels

    def _aggregated(self, node: AggregateExpr) -> set[str]:
        labels = self.labels(node.expr) or set()
        if node.modifier is None:
            return set()
        if node.modifier.type != AggModifierType.By:
            raise ValueError("not understood: without")
        self._needs(set(node.modifier.labels), labels, "by")
        return set(node.modifier.labels)

    def _combined(self, node: BinaryExpr) -> set[str] | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if left is None or right is None:
            return right if left is None else left
        matching = None if node.modifier is None else node.modifier.matching
        if matching is None:
            if left != right:
                self.mistakes.append(f"{sorted(left)} never match {sorted(right)}")
            return left
        if matching.type != LabelModifierType.Include or node.modifier is None:
            raise ValueError("not understood: ignoring")
        on = set(matching.labels)
        self._needs(on, left & right, "on")
        if node.modifier.card == VectorMatchCardinality.OneToOne:
            # Two series of one side with the same labels are an error in Prometheus.
            for side in (left, right):
                if side != on:
                    self.mistakes.append(f"on {sorted(on)} may match several of {sorted(side)}")
            return on
        return left

    def _needs(self, wanted: set[str], has: set[str], where: str) -> None:
        self.mistakes += [f"{where}: nothing has {label}" for label in sorted(wanted - has)]
