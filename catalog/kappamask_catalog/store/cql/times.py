"""CQL2's temporal functions: instants and intervals as pairs of microseconds."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from kappamask_catalog.store.cql.dialect import Dialect
from kappamask_catalog.store.cql.nodes import arguments, is_list, property_name, shown
from kappamask_catalog.store.cql.sql import Kind, Sql, core_kind
from kappamask_catalog.store.values import parse_date, parse_time, to_microseconds
from kappamask_udf.errors import InvalidQueryError

EVER = 2**62
"""The open end of an interval; its negative the open start."""
_DAY = timedelta(days=1) - timedelta(microseconds=1)

# By the starts and ends of both sides. Source: OGC 21-065r2, table of temporal functions, after
# Allen's intervals.
TEMPORAL_OPERATORS = {
    "t_after": "{a0} > {b1}",
    "t_before": "{a1} < {b0}",
    "t_contains": "{a0} < {b0} AND {a1} > {b1}",
    "t_disjoint": "{a1} < {b0} OR {a0} > {b1}",
    "t_during": "{a0} > {b0} AND {a1} < {b1}",
    "t_equals": "{a0} = {b0} AND {a1} = {b1}",
    "t_finishedBy": "{a0} < {b0} AND {a1} = {b1}",
    "t_finishes": "{a0} > {b0} AND {a1} = {b1}",
    "t_intersects": "{a0} <= {b1} AND {a1} >= {b0}",
    "t_meets": "{a1} = {b0}",
    "t_metBy": "{a0} = {b1}",
    "t_overlappedBy": "{a0} > {b0} AND {a0} < {b1} AND {a1} > {b1}",
    "t_overlaps": "{a0} < {b0} AND {a1} > {b0} AND {a1} < {b1}",
    "t_startedBy": "{a0} = {b0} AND {a1} > {b1}",
    "t_starts": "{a0} = {b0} AND {a1} < {b1}",
}


def temporal_condition(operator: str, node: Mapping[str, Any], dialect: Dialect) -> Sql:
    """A temporal function as a condition."""
    left, right = (_range(one, dialect) for one in arguments(node, exactly=2))
    ends = {"{a0}": left[0], "{a1}": left[1], "{b0}": right[0], "{b1}": right[1]}
    words = TEMPORAL_OPERATORS[operator].split(" ")
    values = tuple(value for word in words if word in ends for value in ends[word].values)
    return Sql(f"({' '.join(ends[word].text if word in ends else word for word in words)})", values)


def instant_literal(node: Any) -> int:
    """A time in microseconds since 1970; a date is its first moment."""
    return _first_and_last(node)[0]


def _range(node: Any, dialect: Dialect) -> tuple[Sql, Sql]:
    """First and last moment of an operand. The item's own time is its range, if it has one."""
    if (name := property_name(node)) is not None:
        if core_kind(name) is Kind.TIME:
            return dialect.item_range()
        time = _time_field(name, dialect)
        return time, time
    if isinstance(node, Mapping) and "interval" in node:
        ends = node["interval"]
        if not is_list(ends) or len(ends) != 2:
            raise InvalidQueryError(f"an interval has a start and an end, found {shown(ends)}")
        return _interval_end(ends[0], 0, dialect), _interval_end(ends[1], 1, dialect)
    first, last = _first_and_last(node)
    return dialect.instant(first), dialect.instant(last)


def _interval_end(node: Any, end: int, dialect: Dialect) -> Sql:
    if node == "..":
        return dialect.instant(EVER if end else -EVER)
    if (name := property_name(node)) is not None:
        return _time_field(name, dialect)
    return dialect.instant(_first_and_last(node)[end])


def _time_field(name: str, dialect: Dialect) -> Sql:
    if core_kind(name) not in (None, Kind.TIME):
        raise InvalidQueryError(f"{name} is no time")
    return dialect.field(name, Kind.TIME)


def _first_and_last(node: Any) -> tuple[int, int]:
    """Microseconds since 1970 of a timestamp (twice the same), or of a date's ends."""
    text = node
    if isinstance(node, Mapping):
        text = node.get("timestamp", node.get("date"))
    if isinstance(node, Mapping) and "timestamp" in node and parse_date(text) is not None:
        raise InvalidQueryError(f"timestamp {shown(text)} is a date; write date, or add a time")
    if (day := parse_date(text)) is not None:
        return to_microseconds(day), to_microseconds(day + _DAY)
    if (time := parse_time(text)) is not None:
        return to_microseconds(time), to_microseconds(time)
    raise InvalidQueryError(
        f"the filter has {shown(node)} where a time such as 2024-03-10T10:00:21Z must be"
    )
