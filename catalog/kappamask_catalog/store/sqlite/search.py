"""Searches in the SQLite store: conditions, one page, and how many match in all."""

import json
import sqlite3
from collections.abc import Sequence

import shapely

from kappamask_catalog.store.base import (
    MAX_LIMIT,
    Caller,
    Document,
    ItemPage,
    ItemQuery,
)
from kappamask_catalog.store.cql import compile_filter
from kappamask_catalog.store.cql.space import boxes_geometry, query_boxes, valid_geometry
from kappamask_catalog.store.cql.sql import Sql, join_balanced
from kappamask_catalog.store.sqlite.collections import visible_collections
from kappamask_catalog.store.sqlite.dialect import SqliteDialect
from kappamask_catalog.store.sqlite.fields import GEOMETRY, is_costly, reads_documents
from kappamask_catalog.store.sqlite.filter_space import boxes_condition
from kappamask_catalog.store.sqlite.ordering import Ordering
from kappamask_catalog.store.sqlite.rows import MICROSECONDS_PER_DAY, read_document
from kappamask_catalog.store.sqlite.tokens import read_token, write_token
from kappamask_catalog.store.values import Box, split_boxes, to_microseconds
from kappamask_udf.errors import InvalidQueryError

_WORLD: Box = (-180.0, -90.0, 180.0, 90.0)
_EVERYTHING = Sql("1")
_SPREAD = "(SELECT ifnull(max(spread), 0) FROM items WHERE spread IS NOT NULL)"
"""How far an item's range may reach from its time, microseconds."""


class Search:
    """One search, understood before the database is asked.

    Raises:
        InvalidQueryError: the query cannot be understood.
    """

    def __init__(self, query: ItemQuery) -> None:
        if query.limit < 1:
            raise InvalidQueryError(f"the limit is {query.limit}; ask for 1 item at least")
        self._query = query
        self._limit = min(query.limit, MAX_LIMIT)
        self._ordering = Ordering(query)
        self._interval = _interval(query)
        self._areas: list[shapely.Geometry] = []
        self._boxes: tuple[Box, ...] = ()
        self._conditions = [*self._ids(), *self._time(), *self._space(), *self._filter()]
        self._behind = _EVERYTHING
        if query.token is not None:
            self._behind = self._ordering.behind(read_token(query, len(self._ordering)))

    def run(self, connection: sqlite3.Connection, caller: Caller) -> ItemPage:
        """The page, for a caller."""
        collections = self._collections(connection, caller)
        if not collections:
            return ItemPage(items=[], next_token=None, n_matched=0)
        where = join_balanced("AND", [*self._conditions, *collections])
        if self._areas or is_costly(where):
            rows, n_matched = self._page_of_all(connection, where)
        else:
            rows, n_matched = self._page_and_count(connection, where)
        is_more = len(rows) > self._limit
        rows = rows[: self._limit]
        token = self._token(connection, rows[-1]) if is_more else None
        return ItemPage(_read_documents(connection, rows), token, n_matched)

    def _page_and_count(
        self, connection: sqlite3.Connection, where: Sql
    ) -> tuple[Sequence[int], int]:
        """Rows of the page and one more, by index; and the count, by index as well."""
        behind, order = self._behind, self._ordering.clause
        documents = _documents(behind, order)
        page = connection.execute(
            f"SELECT i.row FROM items i {documents} WHERE {where.text} AND {behind.text} "
            f"ORDER BY {order.text} LIMIT ?",
            (*where.values, *behind.values, *order.values, self._limit + 1),
        ).fetchall()
        (n_matched,) = connection.execute(
            f"SELECT count(*) FROM items i WHERE {where.text}", where.values
        ).fetchone()
        return [row for (row,) in page], n_matched

    def _page_of_all(self, connection: sqlite3.Connection, where: Sql) -> tuple[Sequence[int], int]:
        """The same where conditions are costly: each item is looked at once, for both."""
        behind, order, geometry = self._behind, self._ordering.clause, self._doubtful()
        documents = _documents(where, behind, order)
        found = connection.execute(
            f"SELECT i.row, {behind.text}, {geometry.text} FROM items i {documents} "
            f"WHERE {where.text} ORDER BY {order.text}",
            (*behind.values, *geometry.values, *where.values, *order.values),
        ).fetchall()
        found = self._meeting(found)
        return [row for row, is_behind, _ in found if is_behind], len(found)

    def _doubtful(self) -> Sql:
        """The geometry of items that may not meet the areas, else NULL.

        What lies in the box of a query meets it; only what crosses its edge has to be compared.
        """
        if not self._areas:
            return Sql("NULL")
        if not self._boxes:
            return Sql(GEOMETRY)
        inside, values = [], []
        for west, south, east, north in self._boxes:
            inside.append("(i.west >= ? AND i.east <= ? AND i.south >= ? AND i.north <= ?)")
            values += [west, east, south, north]
        return Sql(f"CASE WHEN {' OR '.join(inside)} THEN NULL ELSE {GEOMETRY} END", tuple(values))

    def _meeting(
        self, found: list[tuple[int, int, bytes | None]]
    ) -> list[tuple[int, int, bytes | None]]:
        """What of some items meets the areas; all geometries in one call."""
        doubtful = [index for index, (_, _, geometry) in enumerate(found) if geometry is not None]
        if not doubtful:
            return found
        geometries = shapely.from_wkb([found[index][2] for index in doubtful])
        is_met = shapely.intersects(self._areas[0], geometries)
        for area in self._areas[1:]:
            is_met &= shapely.intersects(area, geometries)
        missed = {index for index, met in zip(doubtful, is_met, strict=True) if not met}
        return [one for index, one in enumerate(found) if index not in missed]

    def _collections(self, connection: sqlite3.Connection, caller: Caller) -> list[Sql]:
        """The condition on collections, nothing if there is none to be searched."""
        wanted = visible_collections(connection, caller)
        if self._query.collections is not None:
            named = set(self._query.collections)
            wanted = [one for one in wanted if one in named]
        (n_all,) = connection.execute("SELECT count(*) FROM collections").fetchone()
        if not wanted:
            return []
        if len(wanted) == n_all:
            return [_EVERYTHING]
        if len(wanted) == 1:  # In a form for which there is an index.
            return [Sql("i.collection = ?", (wanted[0],))]
        return [Sql("i.collection IN (SELECT value FROM json_each(?))", (id_list(wanted),))]

    def _ids(self) -> list[Sql]:
        if self._query.ids is None:
            return []
        return [Sql("i.id IN (SELECT value FROM json_each(?))", (id_list(self._query.ids),))]

    def _time(self) -> list[Sql]:
        if self._interval is None:
            return []
        start, stop = self._interval
        conditions = []
        if stop is not None:
            conditions.append(Sql(f"i.start <= ? AND i.time <= ? + {_SPREAD}", (stop, stop)))
        if start is not None:
            conditions.append(Sql(f"i.stop >= ? AND i.time >= ? - {_SPREAD}", (start, start)))
        return conditions

    def _space(self) -> list[Sql]:
        """Conditions on boxes; the areas that geometries are compared with are kept."""
        conditions = []
        if self._query.bbox is not None:
            boxes = query_boxes(self._query.bbox)
            if not _is_world(boxes):
                conditions.append(boxes_condition(boxes, self._days()))
                self._areas.append(boxes_geometry(boxes))
                self._boxes = boxes
        if self._query.intersects is not None:
            geometry = valid_geometry(self._query.intersects)
            conditions.append(boxes_condition(split_boxes(geometry), self._days()))
            self._areas.append(geometry)
            self._boxes = ()
        for area in self._areas:
            shapely.prepare(area)
        return conditions

    def _days(self) -> tuple[float, float] | None:
        if self._interval is None:
            return None
        start, stop = self._interval
        return (
            -1e9 if start is None else start / MICROSECONDS_PER_DAY,
            1e9 if stop is None else stop / MICROSECONDS_PER_DAY,
        )

    def _filter(self) -> list[Sql]:
        if self._query.filter is None:
            return []
        return [compile_filter(self._query.filter, SqliteDialect())]

    def _token(self, connection: sqlite3.Connection, row: int) -> str:
        columns = self._ordering.columns
        position = connection.execute(
            f"SELECT {columns.text} FROM items i {_documents(columns)} WHERE i.row = ?",
            (*columns.values, row),
        ).fetchone()
        return write_token(self._query, position)


def _documents(*parts: Sql) -> str:
    is_needed = any(map(reads_documents, parts))
    return "JOIN documents d ON d.row = i.row" if is_needed else ""


def _read_documents(connection: sqlite3.Connection, rows: Sequence[int]) -> list[Document]:
    """Documents in the order of their rows."""
    found = connection.execute(
        "SELECT row, document, properties FROM documents "
        "WHERE row IN (SELECT value FROM json_each(?))",
        (id_list(rows),),
    )
    documents = {row: read_document(document, properties) for row, document, properties in found}
    return [documents[row] for row in rows]


def _interval(query: ItemQuery) -> tuple[int | None, int | None] | None:
    """Microseconds since 1970."""
    if query.interval is None:
        return None
    start, stop = query.interval
    if any(time is not None and time.tzinfo is None for time in query.interval):
        raise InvalidQueryError("the times of the interval have no time zone; add one, such as Z")
    if start is not None and stop is not None and start > stop:
        raise InvalidQueryError(
            f"the interval ends before it starts: {start.isoformat()} to {stop.isoformat()}"
        )
    return (
        None if start is None else to_microseconds(start),
        None if stop is None else to_microseconds(stop),
    )


def _is_world(boxes: tuple[Box, ...]) -> bool:
    west, south, east, north = boxes[0]
    return west <= _WORLD[0] and south <= _WORLD[1] and east >= _WORLD[2] and north >= _WORLD[3]


def id_list(values: Sequence[str] | Sequence[int]) -> str:
    """Values for `json_each`: one for SQLite to bind, however many they are."""
    return json.dumps(list(values))
