"""CQL2's array functions: properties that are arrays, compared as sets."""

from collections.abc import Mapping
from typing import Any

import orjson

from kappamask_catalog.store.sqlite.fields import Kind, Sql, core_kind, field, fill
from kappamask_catalog.store.sqlite.filter_nodes import arguments, is_list, property_name, shown
from kappamask_catalog.store.sqlite.functions import ARRAYS
from kappamask_udf.errors import InvalidQueryError

ARRAY_OPERATORS = frozenset(ARRAYS)


def array_condition(operator: str, node: Mapping[str, Any]) -> Sql:
    """An array function as a condition."""
    sides = [_array(one) for one in arguments(node, exactly=2)]
    return fill(f"{operator}({{}}, {{}})", *sides)


def _array(node: Any) -> Sql:
    if (name := property_name(node)) is not None:
        if core_kind(name) is not None:
            raise InvalidQueryError(f"{name} is no array")
        return field(name, Kind.ARRAY)
    if not is_list(node) or any(isinstance(one, Mapping) for one in node):
        raise InvalidQueryError(
            f"the filter has {shown(node)} where an array of texts or numbers must be"
        )
    try:
        return Sql("?", (orjson.dumps(list(node)).decode(),))
    except TypeError as error:
        raise InvalidQueryError(f"the array {shown(node)} cannot be compared: {error}") from error
