"""CQL2's array functions: properties that are arrays, compared as sets."""

from collections.abc import Mapping
from typing import Any

from kappamask_catalog.store.cql.dialect import Dialect
from kappamask_catalog.store.cql.nodes import arguments, is_list, property_name, shown
from kappamask_catalog.store.cql.sql import Kind, Sql, core_kind
from kappamask_udf.errors import InvalidQueryError

ARRAY_OPERATORS = frozenset({"a_contains", "a_containedBy", "a_equals", "a_overlaps"})


def array_condition(operator: str, node: Mapping[str, Any], dialect: Dialect) -> Sql:
    """An array function as a condition."""
    left, right = (_array(one, dialect) for one in arguments(node, exactly=2))
    return dialect.array_comparison(operator, left, right)


def _array(node: Any, dialect: Dialect) -> Sql:
    if (name := property_name(node)) is not None:
        if core_kind(name) is not None:
            raise InvalidQueryError(f"{name} is no array")
        return dialect.field(name, Kind.ARRAY)
    if not is_list(node) or any(isinstance(one, Mapping) for one in node):
        raise InvalidQueryError(
            f"the filter has {shown(node)} where an array of texts or numbers must be"
        )
    try:
        return dialect.array(list(node))
    except (TypeError, ValueError) as error:
        raise InvalidQueryError(f"the array {shown(node)} cannot be compared: {error}") from error
