"""What is searched for, as one SQL condition on pgstac's items."""

from collections.abc import Sequence
from datetime import UTC

from kappamask_catalog.store.base import ItemQuery
from kappamask_catalog.store.cql import compile_filter
from kappamask_catalog.store.cql.space import boxes_geometry, query_boxes, valid_geometry
from kappamask_catalog.store.cql.sql import Sql, fill, join_balanced
from kappamask_catalog.store.pgstac.dialect import PostgresDialect, geometry_or_own
from kappamask_udf.errors import InvalidQueryError


def build_conditions(query: ItemQuery) -> list[Sql]:
    """All conditions but that on collections.

    Raises:
        InvalidQueryError: one cannot be understood.
    """
    conditions: list[Sql] = []
    if query.ids is not None:
        conditions.append(one_of("id", query.ids))
    conditions += _time(query)
    if query.bbox is not None:
        area = geometry_or_own(boxes_geometry(query_boxes(query.bbox)))
        conditions.append(fill("ST_Intersects(geometry, {})", area))
    if query.intersects is not None:
        area = geometry_or_own(valid_geometry(query.intersects))
        conditions.append(fill("ST_Intersects(geometry, {})", area))
    if query.filter is not None:
        conditions.append(compile_filter(query.filter, PostgresDialect()))
    return conditions


def join(conditions: Sequence[Sql]) -> Sql:
    """One condition: all of some."""
    return join_balanced("AND", conditions)


def one_of(column: str, values: Sequence[str]) -> Sql:
    """A column whose value is one of some, written out so that the planner knows the partitions."""
    if not values:
        return Sql("FALSE")
    return Sql(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def _time(query: ItemQuery) -> list[Sql]:
    """Items whose range meets the interval."""
    start, end = query.interval or (None, None)
    for time in (start, end):
        if time is not None and time.tzinfo is None:
            raise InvalidQueryError(f"the interval has a time without zone: {time.isoformat()}")
    if start is not None and end is not None and start > end:
        raise InvalidQueryError(
            f"the interval ends before it starts: {start.isoformat()} to {end.isoformat()}"
        )
    conditions = []
    if end is not None:
        text = end.astimezone(UTC).isoformat()
        conditions.append(Sql("datetime <= ?::timestamptz", (text,)))
    if start is not None:
        text = start.astimezone(UTC).isoformat()
        conditions.append(Sql("end_datetime >= ?::timestamptz", (text,)))
    return conditions
