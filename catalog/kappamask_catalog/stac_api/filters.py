"""Filters to CQL2 JSON: CQL2 text, and the conditions of the `query` extension."""

from collections.abc import Mapping
from typing import Any

import cql2

from kappamask_catalog.stac_api.parsing import check_depth, parse_json, shown
from kappamask_udf.errors import InvalidQueryError

Filter = dict[str, Any]

CRS84 = (
    "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    "https://www.opengis.net/def/crs/OGC/1.3/CRS84",
    "http://www.opengis.net/def/crs/OGC/0/CRS84h",
)
"""Degrees, longitude first. Source: OGC API Features 3, filter-crs."""
MAX_TEXT_CHARACTERS = 50_000
_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
_OPERATORS = (*_COMPARISONS, *_PATTERNS, "in")


def parse_filter(value: Any, language: str | None, crs: str | None) -> Filter | None:
    """CQL2 text or JSON, the latter as an object or as text, to CQL2 JSON; `None` if none.

    Raises:
        InvalidQueryError: it cannot be understood, or coordinates are not degrees.
    """
    if value is None or value == "":
        return None
    if crs is not None and crs not in CRS84:
        raise InvalidQueryError(f"filter-crs must be {CRS84[0]} (got {shown(crs)})")
    if isinstance(value, str):
        if language != "cql2-json":
            return _parse_text(value)
        value = parse_json(value, "filter")
    if not isinstance(value, Mapping):
        raise InvalidQueryError(f"filter must be an object of CQL2 JSON (got {shown(value)})")
    check_depth(value, "filter")
    return _modern(dict(value))


def _modern(condition: Filter) -> Filter:
    """With `between` of three arguments, also where the bounds are a list of their own.

    Drafts of CQL2 wrote it so, and so do clients and the STAC API validator still.
    """
    args = condition.get("args")
    if not isinstance(args, list):
        return condition
    if condition.get("op") == "between" and len(args) == 2 and isinstance(args[1], list):
        args = [args[0], *args[1]]
    return {**condition, "args": [_modern(one) if isinstance(one, dict) else one for one in args]}


def _parse_text(text: str) -> Filter:
    # The parser recurses for every bracket.
    if len(text) > MAX_TEXT_CHARACTERS or text.count("(") > 500:
        raise InvalidQueryError("filter is too long; use ids, collections or intersects")
    try:
        parsed: Filter = cql2.parse_text(text).to_json()
    except Exception as error:  # errors of the parser have no class of their own in all versions
        reason = " ".join(str(error).split())
        raise InvalidQueryError(f"filter is no CQL2 text: {reason}") from error
    if not isinstance(parsed, dict):
        raise InvalidQueryError(f"filter must be a condition (got {shown(text)})")
    return parsed


def parse_query(value: Any) -> Filter | None:
    """Conditions of the `query` extension to CQL2 JSON; `None` if there are none.

    Raises:
        InvalidQueryError: a field or an operator cannot be understood.
    """
    if value is None or value == "":
        return None
    conditions = parse_json(value, "query") if isinstance(value, str) else value
    if not isinstance(conditions, Mapping):
        raise InvalidQueryError(
            'query must be an object such as {"eo:cloud_cover": {"lt": 10}} '
            f"(got {shown(conditions)})"
        )
    parts = [
        _condition(field.removeprefix("properties."), operator, operand)
        for field, operators in conditions.items()
        for operator, operand in _operators(field, operators)
    ]
    return join_filters(*parts)


def _operators(field: str, operators: Any) -> list[tuple[str, Any]]:
    if not isinstance(operators, Mapping) or not operators:
        raise InvalidQueryError(
            f"query of {field} must be an object of {', '.join(_OPERATORS)} "
            f"(got {shown(operators)})"
        )
    return list(operators.items())


def _condition(field: str, operator: str, operand: Any) -> Filter:
    name = {"property": field}
    if operator in ("eq", "neq") and operand is None:
        is_null: Filter = {"op": "isNull", "args": [name]}
        return is_null if operator == "eq" else {"op": "not", "args": [is_null]}
    if operator in _COMPARISONS and isinstance(operand, str | int | float):
        return {"op": _COMPARISONS[operator], "args": [name, operand]}
    if operator in _PATTERNS and isinstance(operand, str):
        return {"op": "like", "args": [name, _PATTERNS[operator].format(_literal(operand))]}
    if operator == "in" and isinstance(operand, list) and operand:
        return {"op": "in", "args": [name, operand]}
    if operator not in _OPERATORS:
        raise InvalidQueryError(
            f"query of {field} must use {', '.join(_OPERATORS)} (got {shown(operator)})"
        )
    raise InvalidQueryError(f"query of {field} cannot use {operator} with {shown(operand)}")


def _literal(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return text


def join_filters(*filters: Filter | None) -> Filter | None:
    """All of the conditions; `None` if there are none."""
    given = [one for one in filters if one is not None]
    if len(given) < 2:
        return given[0] if given else None
    return {"op": "and", "args": given}
