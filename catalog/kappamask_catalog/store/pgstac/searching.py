"""One page of a search.

pgstac reads the rows partition by partition (`search_rows`). Its `search` is not used: besides what
its filters lack (see `dialect`), its paging tokens fail when an item is gone, its counts are a day
old or estimates, and it writes a row for every new search.
"""

from typing import Any

from kappamask_catalog.store.base import MAX_LIMIT, Caller, ItemPage, ItemQuery
from kappamask_catalog.store.pgstac import paging
from kappamask_catalog.store.pgstac.access import VISIBLE, caller_values
from kappamask_catalog.store.pgstac.conditions import build_conditions, join, one_of
from kappamask_catalog.store.pgstac.database import Connection
from kappamask_catalog.store.pgstac.dialect import quote, render
from kappamask_udf.errors import InvalidQueryError

ORIGINAL = "kappamask:item"
"""Member of pgstac's column `private` with the item as it was put. From `content` pgstac returns
another one, without `null`, which STAC wants for `datetime` of an item with a range; and takes
0.3 ms for each item to put it together."""
ITEM = f"coalesce(i.private->'{ORIGINAL}', content_hydrate(i))"
"""The item of a row `i` of pgstac's items; by pgstac where another tool has put it."""

IDS = f"SELECT id FROM ({VISIBLE}) AS v WHERE %(wanted)s::text[] IS NULL OR id = ANY(%(wanted)s)"


def search_items(connection: Connection, query: ItemQuery, caller: Caller) -> ItemPage:
    """A page of the items that match, in a transaction that sees one state of the database.

    Raises:
        InvalidQueryError: something cannot be understood before the database is asked.
    """
    if query.limit < 1:
        raise InvalidQueryError(f"the limit is {query.limit}; ask for 1 item at least")
    columns = paging.sort_columns(query.sort)
    after = paging.decode_token(query, columns)
    conditions = build_conditions(query)
    collections = _find_collections(connection, query, caller)
    if not collections:
        return ItemPage([], None, 0)
    where = render(join([one_of("collection", collections), *conditions]))
    limit = min(query.limit, MAX_LIMIT)
    page = where if after is None else f"{where} AND {paging.behind(columns, after)}"
    rows = _read_rows(connection, page, columns, limit + 1)
    is_last = len(rows) <= limit
    n_matched = len(rows) if is_last and after is None else _count(connection, where)
    token = None if is_last else paging.encode_token(query, rows[limit - 1][1])
    return ItemPage([item for item, _ in rows[:limit]], token, n_matched)


def _find_collections(connection: Connection, query: ItemQuery, caller: Caller) -> list[str]:
    """Ids of the collections that are searched."""
    wanted = None if query.collections is None else list(query.collections)
    values = {"wanted": wanted, **caller_values(caller)}
    return [row[0] for row in connection.execute(IDS, values)]


def _read_rows(
    connection: Connection, where: str, columns: list[paging.SortColumn], limit: int
) -> list[tuple[Any, ...]]:
    # All of it quoted and without parameters: names of fields may hold a percent sign.
    keys, order = paging.key_values(columns), paging.order_by(columns)
    statement = (
        f"SELECT {ITEM}, {keys} FROM search_rows({quote(where)}, {quote(order)}, NULL, {limit}) i"
    )
    return connection.execute(statement.encode()).fetchall()


def _count(connection: Connection, where: str) -> int:
    statement = f"SELECT count(*) FROM items WHERE {where}"
    (count,) = connection.execute(statement.encode()).fetchone() or (0,)
    return int(count)
