"""The store itself: every method is one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from kappamask_catalog.store.base import (
    CLAIM_SECONDS,
    Access,
    Caller,
    Claim,
    Document,
    ItemPage,
    ItemQuery,
)
from kappamask_catalog.store.pgstac import access as access_rows
from kappamask_catalog.store.pgstac import claims, documents, searching
from kappamask_catalog.store.pgstac.access import VISIBLE, caller_values, no_collection
from kappamask_catalog.store.pgstac.database import (
    Connection,
    Database,
    connect,
    parse_dsn,
    translated,
)
from kappamask_catalog.store.pgstac.migrations import check_versions, read_versions
from kappamask_udf.errors import InvalidDocumentError, InvalidQueryError, NotInStoreError

# Predicates of PostGIS fail on a polygon that crosses itself, and with them the whole search.
KEEP_ORIGINALS = f"""
UPDATE items AS i SET
    private = jsonb_build_object('{searching.ORIGINAL}', d.item),
    geometry = CASE WHEN ST_IsValid(geometry) THEN geometry ELSE ST_MakeValid(geometry) END
FROM jsonb_array_elements(%(items)s::jsonb) AS d(item)
WHERE i.collection = %(collection)s AND i.id = d.item->>'id'
"""

ADD_NAMES = """
INSERT INTO kappamask.property_names SELECT %s, name FROM unnest(%s::text[]) AS name
ON CONFLICT DO NOTHING
"""

# The first item with the property ends each look; only for names that are gone all are read.
NAMES = f"""
SELECT DISTINCT n.name COLLATE "C" AS name FROM kappamask.property_names n
WHERE n.collection IN (SELECT id FROM ({VISIBLE}) AS v)
    AND (%(id)s::text IS NULL OR n.collection = %(id)s)
    AND EXISTS (
        SELECT FROM items i
        WHERE i.collection = n.collection
            AND coalesce(i.private->'{searching.ORIGINAL}', i.content)->'properties' ? n.name
    )
ORDER BY name
"""


class PgstacStore:
    """A `Store` in a PostgreSQL database with pgstac.

    The database must have been set up with `kappamask catalog migrate`. Connections are opened when
    they are needed and replaced when they die.

    Args:
        dsn: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or what else libpq understands.
        min_connections: kept open.
        max_connections: at most, for all threads together.
        wait_s: how long to wait for a connection before `StoreError`.
        statement_s: after this long a statement is stopped.

    Raises:
        StoreError: the database is not there, or was migrated by another version.
    """

    def __init__(
        self,
        dsn: str,
        *,
        min_connections: int = 1,
        max_connections: int = 10,
        wait_s: float = 10.0,
        statement_s: float = 60.0,
    ) -> None:
        conninfo, address = parse_dsn(dsn)
        # Outside the pool, which would only say that there is no connection, not why.
        with connect(conninfo, address) as connection, translated(address):
            check_versions(read_versions(connection), address)
        self._database = Database(
            dsn,
            min_connections=min_connections,
            max_connections=max_connections,
            wait_s=wait_s,
            statement_s=statement_s,
        )
        self._database.open()

    def put_collection(self, collection: Mapping[str, Any], access: Access) -> None:
        """Add a collection or replace its document and access; its items stay."""
        collection_id = documents.check_collection(collection)
        text = documents.dump(dict(collection))

        def work(connection: Connection) -> None:
            connection.execute("SELECT upsert_collection(%s::jsonb)", [text])
            access_rows.put_access(connection, collection_id, access)

        self._database.run(work, InvalidDocumentError)

    def get_collection(self, collection_id: str, caller: Caller) -> Document:
        """A collection's document. Raises `NotInStoreError` if the caller cannot see it."""
        query = f"SELECT content FROM ({VISIBLE}) AS v WHERE id = %(id)s"
        values = {"id": collection_id, **caller_values(caller)}

        def work(connection: Connection) -> Document:
            row = connection.execute(query, values).fetchone()
            if row is None:
                raise no_collection(collection_id)
            document: Document = row[0]
            return document

        return self._database.run(work, NotInStoreError, is_read_only=True)

    def get_access(self, collection_id: str, caller: Caller) -> Access:
        """Whose a collection is. Raises `NotInStoreError` if the caller cannot see it."""
        return self._database.run(
            lambda connection: access_rows.find_access(connection, collection_id, caller),
            NotInStoreError,
            is_read_only=True,
        )

    def list_collections(self, caller: Caller) -> list[Document]:
        """All collections that the caller can see, by id."""
        query = f'SELECT content FROM ({VISIBLE}) AS v ORDER BY id COLLATE "C"'
        values = caller_values(caller)
        return self._database.run(
            lambda connection: [row[0] for row in connection.execute(query, values)],
            is_read_only=True,
        )

    def delete_collection(self, collection_id: str) -> None:
        """Remove a collection with its items. Raises `NotInStoreError` if it is not there."""

        def work(connection: Connection) -> None:
            _lock_collection(connection, collection_id, "UPDATE")
            connection.execute("SELECT delete_collection(%s)", [collection_id])

        self._database.run(work, NotInStoreError)

    def upsert_items(
        self, collection_id: str, items: Sequence[Mapping[str, Any]], claim: Claim | None = None
    ) -> None:
        """Add items or replace those of the same id, all or none, in one transaction.

        Args:
            collection_id: where to.
            items: STAC items; `collection` is set to `collection_id`.
            claim: publish only if it still holds, checked in the same transaction, and end it.

        Raises:
            NotInStoreError: there is no such collection.
            ClaimLostError: the claim has ended or is somebody else's by now.
            InvalidDocumentError: an item has no id, geometry or time that can be stored.
        """
        checked = documents.check_items(collection_id, items)
        values = {"items": documents.dump(checked), "collection": collection_id}
        names = documents.property_names(checked)

        def work(connection: Connection) -> None:
            # One writer at a time: pgstac rebuilds the constraints of a partition from what it
            # read before, so the second of two would not keep to those of the first.
            _lock_collection(connection, collection_id, "NO KEY UPDATE")
            if claim is not None:
                claims.hold_claim(connection, claim)
            connection.execute("SELECT upsert_items(%(items)s::jsonb)", values)
            connection.execute(KEEP_ORIGINALS, values)
            connection.execute(ADD_NAMES, [collection_id, names])
            if claim is not None:
                claims.end_claim(connection, claim)

        self._database.run(work, InvalidDocumentError)

    def get_item(self, collection_id: str, item_id: str, caller: Caller) -> Document:
        """An item. Raises `NotInStoreError` if it is not there or the caller cannot see it."""
        query = f"""
            SELECT {searching.ITEM} FROM items i
            WHERE collection = (SELECT id FROM ({VISIBLE}) AS v WHERE id = %(collection)s)
                AND i.id = %(id)s
        """
        values = {"collection": collection_id, "id": item_id, **caller_values(caller)}

        def work(connection: Connection) -> Document:
            row = connection.execute(query, values).fetchone()
            if row is None:
                raise NotInStoreError(f"there is no item {item_id} in collection {collection_id}")
            item: Document = row[0]
            return item

        return self._database.run(work, NotInStoreError, is_read_only=True)

    def delete_items(self, collection_id: str, item_ids: Sequence[str]) -> int:
        """Remove items; how many were there. Raises `NotInStoreError` for the collection."""
        query = "DELETE FROM items WHERE collection = %s AND id = ANY(%s)"

        def work(connection: Connection) -> int:
            _lock_collection(connection, collection_id, "NO KEY UPDATE")
            return connection.execute(query, [collection_id, list(item_ids)]).rowcount

        return self._database.run(work, NotInStoreError)

    def search(self, query: ItemQuery, caller: Caller) -> ItemPage:
        """A page of the items that match and that the caller can see.

        Collections that the caller cannot see count as not there.

        Raises:
            InvalidQueryError: the filter, a field, a geometry or the token cannot be understood.
        """
        return self._database.run(
            lambda connection: searching.search_items(connection, query, caller),
            InvalidQueryError,
            is_read_only=True,
        )

    def property_names(self, collection_id: str | None, caller: Caller) -> Sequence[str]:
        """Names of all properties that items have, sorted: of one collection, or of all that the
        caller can see. Raises `NotInStoreError` if the caller cannot see the collection.
        """
        values = {"id": collection_id, **caller_values(caller)}

        def work(connection: Connection) -> list[str]:
            if collection_id is not None:
                access_rows.find_access(connection, collection_id, caller)
            return [name for (name,) in connection.execute(NAMES, values)]

        return self._database.run(work, NotInStoreError, is_read_only=True)

    def try_claim(self, key: str, holder: str, seconds: float = CLAIM_SECONDS) -> Claim | None:
        """A claim, or `None` if somebody holds one that has not expired."""
        return self._database.run(
            lambda connection: claims.try_claim(connection, key, holder, seconds)
        )

    def renew_claim(self, claim: Claim, seconds: float = CLAIM_SECONDS) -> Claim:
        """The heartbeat. Raises `ClaimLostError` if it expired and was taken, or was ended."""
        return self._database.run(lambda connection: claims.renew_claim(connection, claim, seconds))

    def release_claim(self, claim: Claim) -> None:
        """End a claim, if it still is this one; nothing happens otherwise."""
        self._database.run(lambda connection: claims.end_claim(connection, claim))

    def list_claims(self) -> list[Claim]:
        """Claims that have not expired, by key."""
        return self._database.run(claims.list_claims, is_read_only=True)

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()


def _lock_collection(connection: Connection, collection_id: str, strength: str) -> None:
    """Keep a collection from being removed, or its items from being written, until the end.

    Raises:
        NotInStoreError: it is not there.
    """
    query = f"SELECT FROM collections WHERE id = %s FOR {strength}"
    if connection.execute(query.encode(), [collection_id]).fetchone() is None:
        raise no_collection(collection_id)
