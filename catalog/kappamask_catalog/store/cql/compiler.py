"""CQL2 JSON to SQL.

Every operator of CQL2 is here; what a filter has beyond them is named in the error. Comparing with
a property that is missing, or of another kind, is neither true nor false, as in SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kappamask_catalog.store.cql.arrays import ARRAY_OPERATORS, array_condition
from kappamask_catalog.store.cql.dialect import Dialect
from kappamask_catalog.store.cql.nodes import arguments, is_list, property_name, shown
from kappamask_catalog.store.cql.space import SPATIAL_OPERATORS, spatial_condition
from kappamask_catalog.store.cql.sql import Kind, Sql, core_kind, fill, join_balanced
from kappamask_catalog.store.cql.times import (
    TEMPORAL_OPERATORS,
    instant_literal,
    temporal_condition,
)
from kappamask_udf.errors import InvalidQueryError

_MAX_DEPTH = 100
_MAX_VALUES = 30_000
"""SQLite binds 32766 values in a statement at most; the other stores keep to it."""
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_ORDERED = (Kind.TEXT, Kind.NUMBER, Kind.TIME, Kind.ANY)


def compile_filter(document: Mapping[str, Any], dialect: Dialect) -> Sql:
    """A filter as a condition.

    Raises:
        InvalidQueryError: it is no CQL2; the message names what was not understood.
    """
    condition = _Compiler(dialect).condition(document, 0)
    if len(condition.values) > _MAX_VALUES:
        raise InvalidQueryError(
            f"the filter has {len(condition.values)} values; at most {_MAX_VALUES} are allowed"
        )
    return condition


class _Compiler:
    """One filter in the words of one database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def condition(self, node: Any, depth: int) -> Sql:
        """Something that is true or false."""
        if depth > _MAX_DEPTH:
            raise InvalidQueryError(f"the filter is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(node, bool):
            return self._dialect.constant(node)
        if (name := property_name(node)) is not None and core_kind(name) is None:
            return self._dialect.field(name, Kind.BOOLEAN)
        operator = node.get("op") if isinstance(node, Mapping) else None
        if not isinstance(operator, str):
            raise InvalidQueryError(f"the filter has {shown(node)} where a condition must be")
        if (build := _CONDITIONS.get(operator)) is not None:
            return build(self, operator, node, depth)
        raise InvalidQueryError(
            f"the filter's operator {shown(operator)} is not one of CQL2 that gives true or false"
        )

    def junction(self, operator: str, node: Any, depth: int) -> Sql:
        parts = arguments(node, at_least=1)
        return join_balanced(operator.upper(), [self.condition(part, depth + 1) for part in parts])

    def negation(self, _: str, node: Any, depth: int) -> Sql:
        (part,) = arguments(node, exactly=1)
        return fill("(NOT {})", self.condition(part, depth + 1))

    def comparison(self, operator: str, node: Any, depth: int) -> Sql:
        operands = arguments(node, exactly=2)
        kind = self._common_kind(operator, operands)
        if operator not in ("=", "<>") and kind not in _ORDERED:
            raise InvalidQueryError(
                f"{kind} values have no order, so {operator} says nothing of them"
            )
        left, right = (self._scalar(operand, kind, depth + 1) for operand in operands)
        return self._dialect.comparison(operator, kind, left, right)

    def like(self, _: str, node: Any, depth: int) -> Sql:
        value, pattern = arguments(node, exactly=2)
        folds: list[str] = []
        while isinstance(pattern, Mapping) and pattern.get("op") in self._dialect.folds:
            folds.insert(0, pattern["op"])
            (pattern,) = arguments(pattern, exactly=1)
        if not isinstance(pattern, str) or "\0" in pattern:
            raise InvalidQueryError(f"the pattern of like must be a text, found {shown(pattern)}")
        return self._dialect.like(self._scalar(value, Kind.TEXT, depth + 1), pattern, folds)

    def between(self, operator: str, node: Any, depth: int) -> Sql:
        operands = arguments(node, exactly=3)
        kind = self._common_kind(operator, operands)
        value, low, high = (self._scalar(operand, kind, depth + 1) for operand in operands)
        bounds = (
            self._dialect.comparison(">=", kind, value, low),
            self._dialect.comparison("<=", kind, value, high),
        )
        return fill("({} AND {})", *bounds)

    def member(self, operator: str, node: Any, depth: int) -> Sql:
        value, choices = arguments(node, exactly=2)
        if not is_list(choices):
            raise InvalidQueryError(f"the second argument of in is a list, found {shown(choices)}")
        if not choices:
            return self._dialect.constant(False)
        kind = self._common_kind(operator, [value, *choices])
        sides = [self._scalar(choice, kind, depth + 1) for choice in choices]
        template = "({} IN (" + ", ".join(["{}"] * len(sides)) + "))"
        return fill(template, self._scalar(value, kind, depth + 1), *sides)

    def is_null(self, _: str, node: Any, depth: int) -> Sql:
        (value,) = arguments(node, exactly=1)
        if property_name(value) == "geometry":
            return self._dialect.constant(False)
        kind = self._kind_of(value) or Kind.ANY
        return fill("({} IS NULL)", self._scalar(value, kind, depth + 1))

    def spatial(self, operator: str, node: Any, _: int) -> Sql:
        return spatial_condition(operator, node, self._dialect)

    def temporal(self, operator: str, node: Any, _: int) -> Sql:
        return temporal_condition(operator, node, self._dialect)

    def array(self, operator: str, node: Any, _: int) -> Sql:
        return array_condition(operator, node, self._dialect)

    def _scalar(self, node: Any, kind: Kind, depth: int) -> Sql:
        """A value of a kind."""
        if depth > _MAX_DEPTH:
            raise InvalidQueryError(f"the filter is nested more than {_MAX_DEPTH} levels deep")
        own = self._kind_of(node)
        if own is not None and own != kind and not (kind is Kind.TIME and isinstance(node, str)):
            raise InvalidQueryError(f"the filter has {shown(node)} where a {kind} must be")
        if (name := property_name(node)) is not None:
            return self._dialect.field(name, kind)
        if kind is Kind.TIME:
            return self._dialect.instant(instant_literal(node))
        if isinstance(node, bool | int | float | str):
            return self._dialect.literal(node)
        operator = node["op"]
        if operator in self._dialect.folds:
            (part,) = arguments(node, exactly=1)
            text = self._scalar(part, Kind.TEXT, depth + 1)
            return fill(self._dialect.folds[operator], text)
        if operator in self._dialect.arithmetic:
            sides = arguments(node, exactly=2)
            numbers = [self._scalar(side, Kind.NUMBER, depth + 1) for side in sides]
            return fill(self._dialect.arithmetic[operator], *numbers)
        return self.condition(node, depth + 1)

    def _kind_of(self, node: Any) -> Kind | None:
        """What a node gives, `None` for a property, which may have anything."""
        for types, kind in ((bool, Kind.BOOLEAN), (int | float, Kind.NUMBER), (str, Kind.TEXT)):
            if isinstance(node, types):
                return kind
        if (name := property_name(node)) is not None:
            return core_kind(name)
        if isinstance(node, Mapping):
            if "timestamp" in node or "date" in node:
                return Kind.TIME
            operator = node.get("op")
            if isinstance(operator, str):
                if operator in self._dialect.folds:
                    return Kind.TEXT
                if operator in self._dialect.arithmetic:
                    return Kind.NUMBER
                if operator in _CONDITIONS:
                    return Kind.BOOLEAN
        hint = "; use isNull" if node is None else ""
        raise InvalidQueryError(f"the filter has {shown(node)} where a value must be{hint}")

    def _common_kind(self, operator: str, nodes: Sequence[Any]) -> Kind:
        """The kind of values that are compared with each other."""
        kinds = {kind for kind in map(self._kind_of, nodes) if kind is not None}
        if kinds == {Kind.TIME, Kind.TEXT}:
            return Kind.TIME  # STAC clients write times as plain texts.
        if len(kinds) > 1:
            raise InvalidQueryError(f"{operator} cannot compare {' with '.join(sorted(kinds))}")
        return kinds.pop() if kinds else Kind.ANY


_Build = Callable[[_Compiler, str, Any, int], Sql]
_CONDITIONS: dict[str, _Build] = {
    "and": _Compiler.junction,
    "or": _Compiler.junction,
    "not": _Compiler.negation,
    **dict.fromkeys(_COMPARISONS, _Compiler.comparison),
    "like": _Compiler.like,
    "between": _Compiler.between,
    "in": _Compiler.member,
    "isNull": _Compiler.is_null,
    **dict.fromkeys(SPATIAL_OPERATORS, _Compiler.spatial),
    **dict.fromkeys(TEMPORAL_OPERATORS, _Compiler.temporal),
    **dict.fromkeys(ARRAY_OPERATORS, _Compiler.array),
}
