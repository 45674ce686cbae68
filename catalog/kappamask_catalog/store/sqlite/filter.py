"""CQL2 JSON to SQL.

Every operator of CQL2 is here; what a filter has beyond them is named in the error. Comparing with
a property that is missing, or of another kind, is neither true nor false, as in SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kappamask_catalog.store.sqlite.fields import (
    Kind,
    Sql,
    core_kind,
    field,
    fill,
    join_balanced,
)
from kappamask_catalog.store.sqlite.filter_arrays import ARRAY_OPERATORS, array_condition
from kappamask_catalog.store.sqlite.filter_nodes import (
    arguments,
    is_list,
    property_name,
    shown,
)
from kappamask_catalog.store.sqlite.filter_space import SPATIAL_OPERATORS, spatial_condition
from kappamask_catalog.store.sqlite.filter_times import (
    TEMPORAL_OPERATORS,
    instant_literal,
    temporal_condition,
)
from kappamask_catalog.store.sqlite.functions import fold_case, strip_accents
from kappamask_udf.errors import InvalidQueryError

_MAX_DEPTH = 100
_MAX_VALUES = 30_000
"""SQLite binds 32766 values in a statement at most."""
_COMPARISONS = {"=": "=", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_ARITHMETIC = {
    "+": "({} + {})",
    "-": "({} - {})",
    "*": "({} * {})",
    "/": "(CAST({} AS REAL) / {})",
    "^": "cql_power({}, {})",
    "%": "cql_modulo({}, {})",
    "div": "cql_div({}, {})",
}
_FOLDS: dict[str, Callable[[str], str]] = {"casei": fold_case, "accenti": strip_accents}
_ORDERED = (Kind.TEXT, Kind.NUMBER, Kind.TIME, Kind.ANY)


def compile_filter(document: Mapping[str, Any]) -> Sql:
    """A filter as a condition.

    Raises:
        InvalidQueryError: it is no CQL2; the message names what was not understood.
    """
    condition = _condition(document, 0)
    if len(condition.values) > _MAX_VALUES:
        raise InvalidQueryError(
            f"the filter has {len(condition.values)} values; at most {_MAX_VALUES} are allowed"
        )
    return condition


def _condition(node: Any, depth: int) -> Sql:
    """Something that is true or false."""
    if depth > _MAX_DEPTH:
        raise InvalidQueryError(f"the filter is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(node, bool):
        return Sql("1" if node else "0")
    if (name := property_name(node)) is not None and core_kind(name) is None:
        return field(name, Kind.BOOLEAN)
    operator = node.get("op") if isinstance(node, Mapping) else None
    if not isinstance(operator, str):
        raise InvalidQueryError(f"the filter has {shown(node)} where a condition must be")
    for operators, build in _CONDITIONS:
        if operator in operators:
            return build(operator, node, depth)
    raise InvalidQueryError(
        f"the filter's operator {shown(operator)} is not one of CQL2 that gives true or false"
    )


def _junction(operator: str, node: Any, depth: int) -> Sql:
    parts = arguments(node, at_least=1)
    return join_balanced(operator.upper(), [_condition(part, depth + 1) for part in parts])


def _negation(_: str, node: Any, depth: int) -> Sql:
    (part,) = arguments(node, exactly=1)
    return fill("(NOT {})", _condition(part, depth + 1))


def _comparison(operator: str, node: Any, depth: int) -> Sql:
    operands = arguments(node, exactly=2)
    kind = _common_kind(operator, operands)
    if operator not in ("=", "<>") and kind not in _ORDERED:
        raise InvalidQueryError(f"{kind} values have no order, so {operator} says nothing of them")
    sides = [_scalar(operand, kind, depth + 1) for operand in operands]
    return fill(f"({{}} {_COMPARISONS[operator]} {{}})", *sides)


def _like(_: str, node: Any, depth: int) -> Sql:
    value, pattern = arguments(node, exactly=2)
    glob = _to_glob(_folded_text(pattern))
    return fill("({} GLOB {})", _scalar(value, Kind.TEXT, depth + 1), Sql("?", (glob,)))


def _between(operator: str, node: Any, depth: int) -> Sql:
    operands = arguments(node, exactly=3)
    kind = _common_kind(operator, operands)
    sides = [_scalar(operand, kind, depth + 1) for operand in operands]
    return fill("({} BETWEEN {} AND {})", *sides)


def _in(operator: str, node: Any, depth: int) -> Sql:
    value, choices = arguments(node, exactly=2)
    if not is_list(choices):
        raise InvalidQueryError(f"the second argument of in is a list, found {shown(choices)}")
    if not choices:
        return Sql("0")
    kind = _common_kind(operator, [value, *choices])
    sides = [_scalar(choice, kind, depth + 1) for choice in choices]
    template = "({} IN (" + ", ".join(["{}"] * len(sides)) + "))"
    return fill(template, _scalar(value, kind, depth + 1), *sides)


def _is_null(_: str, node: Any, depth: int) -> Sql:
    (value,) = arguments(node, exactly=1)
    if property_name(value) == "geometry":
        return Sql("0")
    return fill("({} IS NULL)", _scalar(value, _kind_of(value) or Kind.ANY, depth + 1))


_CONDITIONS: tuple[tuple[Any, Callable[[str, Any, int], Sql]], ...] = (
    (("and", "or"), _junction),
    (("not",), _negation),
    (_COMPARISONS, _comparison),
    (("like",), _like),
    (("between",), _between),
    (("in",), _in),
    (("isNull",), _is_null),
    (SPATIAL_OPERATORS, lambda operator, node, _: spatial_condition(operator, node)),
    (TEMPORAL_OPERATORS, lambda operator, node, _: temporal_condition(operator, node)),
    (ARRAY_OPERATORS, lambda operator, node, _: array_condition(operator, node)),
)


def _scalar(node: Any, kind: Kind, depth: int) -> Sql:
    """A value of a kind."""
    if depth > _MAX_DEPTH:
        raise InvalidQueryError(f"the filter is nested more than {_MAX_DEPTH} levels deep")
    own = _kind_of(node)
    if own is not None and own != kind and not (kind is Kind.TIME and isinstance(node, str)):
        raise InvalidQueryError(f"the filter has {shown(node)} where a {kind} must be")
    if (name := property_name(node)) is not None:
        return field(name, kind)
    if kind is Kind.TIME:
        return Sql("?", (instant_literal(node),))
    if isinstance(node, bool):
        return Sql("?", (int(node),))
    if isinstance(node, int | float):
        # Larger whole numbers than SQLite's are numbers with a point, as in JSON itself.
        return Sql("?", (node if abs(node) < 2**63 else float(node),))
    if isinstance(node, str):
        return Sql("?", (node,))
    operator = node["op"]
    if operator in _FOLDS:
        (part,) = arguments(node, exactly=1)
        return fill(f"cql_{operator}({{}})", _scalar(part, Kind.TEXT, depth + 1))
    if operator in _ARITHMETIC:
        sides = arguments(node, exactly=2)
        numbers = [_scalar(side, Kind.NUMBER, depth + 1) for side in sides]
        return fill(_ARITHMETIC[operator], *numbers)
    return _condition(node, depth + 1)


def _kind_of(node: Any) -> Kind | None:
    """What a node gives, `None` for a property, which may have anything."""
    if isinstance(node, bool):
        return Kind.BOOLEAN
    if isinstance(node, int | float):
        return Kind.NUMBER
    if isinstance(node, str):
        return Kind.TEXT
    if (name := property_name(node)) is not None:
        return core_kind(name)
    if isinstance(node, Mapping):
        if "timestamp" in node or "date" in node:
            return Kind.TIME
        if node.get("op") in _FOLDS:
            return Kind.TEXT
        if node.get("op") in _ARITHMETIC:
            return Kind.NUMBER
        if any(node.get("op") in operators for operators, _ in _CONDITIONS):
            return Kind.BOOLEAN
    hint = "; use isNull" if node is None else ""
    raise InvalidQueryError(f"the filter has {shown(node)} where a value must be{hint}")


def _common_kind(operator: str, nodes: Sequence[Any]) -> Kind:
    """The kind of values that are compared with each other."""
    kinds = {kind for kind in map(_kind_of, nodes) if kind is not None}
    if kinds == {Kind.TIME, Kind.TEXT}:
        return Kind.TIME  # STAC clients write times as plain texts.
    if len(kinds) > 1:
        raise InvalidQueryError(f"{operator} cannot compare {' with '.join(sorted(kinds))}")
    return kinds.pop() if kinds else Kind.ANY


def _folded_text(node: Any) -> str:
    """The pattern of `like`, with `casei` and `accenti` done."""
    if isinstance(node, str):
        return node
    operator = node.get("op") if isinstance(node, Mapping) else None
    if operator in _FOLDS:
        (part,) = arguments(node, exactly=1)
        return _FOLDS[operator](_folded_text(part))
    raise InvalidQueryError(f"the pattern of like must be a text, found {shown(node)}")


def _to_glob(pattern: str) -> str:
    r"""A pattern of LIKE as one of GLOB, which minds case: `%`, `_`, and `\` before either."""
    if "\0" in pattern:
        raise InvalidQueryError("the pattern of like has a character of code 0")
    glob, characters = "", iter(pattern)
    for character in characters:
        if character == "%":
            # Several in a row are one; SQLite would try them all.
            glob += "" if glob.endswith("*") else "*"
        elif character == "_":
            glob += "?"
        else:
            literal = next(characters, "\\") if character == "\\" else character
            glob += f"[{literal}]" if literal in "*?[" else literal
    return glob
