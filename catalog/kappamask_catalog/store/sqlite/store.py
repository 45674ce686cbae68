"""The store in one SQLite file."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from kappamask_catalog.store.base import (
    CLAIM_SECONDS,
    Access,
    Caller,
    Claim,
    Document,
    ItemPage,
    ItemQuery,
)
from kappamask_catalog.store.sqlite import claims, collections
from kappamask_catalog.store.sqlite.connections import Connections
from kappamask_catalog.store.sqlite.rows import (
    build_row,
    document_id,
    read_document,
    to_json,
    write_row,
)
from kappamask_catalog.store.sqlite.search import Search, id_list
from kappamask_catalog.store.values import to_microseconds
from kappamask_udf.errors import NotInStoreError


def _now() -> datetime:
    return datetime.now(UTC)


class SqliteStore:
    """Collections, items and claims in a SQLite file; see `kappamask_catalog.store.base.Store`.

    Args:
        path: the file; made if it is not there, with its folder, for its owner's eyes only. On a
            disk of this machine: SQLite's locks do not work on network folders.
        clock: the time by which claims end, aware.

    Raises:
        StoreError: the file cannot be opened, is no store, or a newer kappamask made it.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = _now) -> None:
        self._connections = Connections(path)
        self._clock = clock

    def put_collection(self, collection: Mapping[str, Any], access: Access) -> None:
        """Add a collection or replace its document and access; its items stay.

        Raises:
            InvalidDocumentError: it has no id, or cannot be written as JSON.
        """
        identifier = document_id(collection, "collection")
        document = to_json(dict(collection), f"collection {identifier}")
        with self._connections.writing() as connection:
            collections.put_collection(connection, identifier, document, access)

    def get_collection(self, collection_id: str, caller: Caller) -> Document:
        """A collection's document. Raises `NotInStoreError` if the caller cannot see it."""
        with self._connections.reading() as connection:
            content, _ = collections.read_collection(connection, collection_id, caller)
        document: Document = orjson.loads(content)
        return document

    def get_access(self, collection_id: str, caller: Caller) -> Access:
        """Whose a collection is. Raises `NotInStoreError` if the caller cannot see it."""
        with self._connections.reading() as connection:
            _, access = collections.read_collection(connection, collection_id, caller)
        return access

    def list_collections(self, caller: Caller) -> list[Document]:
        """All collections that the caller can see, by id."""
        with self._connections.reading() as connection:
            documents = collections.visible_documents(connection, caller)
        return [orjson.loads(document) for document in documents]

    def delete_collection(self, collection_id: str) -> None:
        """Remove a collection with its items. Raises `NotInStoreError` if it is not there."""
        with self._connections.writing() as connection:
            collections.require_collection(connection, collection_id)
            connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))

    def upsert_items(
        self, collection_id: str, items: Sequence[Mapping[str, Any]], claim: Claim | None = None
    ) -> None:
        """Add items or replace those of the same id, all or none, in one transaction.

        Raises:
            NotInStoreError: there is no such collection.
            ClaimLostError: the claim has ended or is somebody else's by now.
            InvalidDocumentError: an item has no id, geometry or time that can be stored.
        """
        # Read before the others have to wait for us.
        rows = [build_row(item, collection_id) for item in items]
        with self._connections.writing() as connection:
            collections.require_collection(connection, collection_id)
            if claim is not None:
                claims.end_held(connection, claim, self._time())
            for row in rows:
                write_row(connection, collection_id, row)

    def get_item(self, collection_id: str, item_id: str, caller: Caller) -> Document:
        """An item. Raises `NotInStoreError` if it is not there or the caller cannot see it."""
        with self._connections.reading() as connection:
            collections.read_collection(connection, collection_id, caller)
            found = connection.execute(
                "SELECT d.document, d.properties FROM items i JOIN documents d ON d.row = i.row "
                "WHERE i.collection = ? AND i.id = ?",
                (collection_id, item_id),
            ).fetchone()
        if found is None:
            raise NotInStoreError(f"there is no item {item_id} in the collection {collection_id}")
        return read_document(*found)

    def delete_items(self, collection_id: str, item_ids: Sequence[str]) -> int:
        """Remove items; how many were there. Raises `NotInStoreError` for the collection."""
        with self._connections.writing() as connection:
            collections.require_collection(connection, collection_id)
            cursor = connection.execute(
                "DELETE FROM items WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
                (collection_id, id_list(item_ids)),
            )
            return cursor.rowcount

    def search(self, query: ItemQuery, caller: Caller) -> ItemPage:
        """A page of the items that match and that the caller can see.

        Raises:
            InvalidQueryError: the filter, a field, a geometry or the token cannot be understood.
        """
        search = Search(query)
        with self._connections.reading() as connection:
            return search.run(connection, caller)

    def property_names(self, collection_id: str | None, caller: Caller) -> Sequence[str]:
        """Names of all properties that items have, sorted: of one collection, or of all that the
        caller can see. Raises `NotInStoreError` if the caller cannot see the collection.
        """
        with self._connections.reading() as connection:
            if collection_id is None:
                searched = collections.visible_collections(connection, caller)
            else:
                collections.read_collection(connection, collection_id, caller)
                searched = [collection_id]
            sets = connection.execute(
                "SELECT names FROM name_sets n WHERE EXISTS (SELECT 1 FROM items i "
                "WHERE i.name_set = n.key AND i.collection IN (SELECT value FROM json_each(?)))",
                (id_list(searched),),
            ).fetchall()
        return sorted({name for (names,) in sets for name in orjson.loads(names)})

    def try_claim(self, key: str, holder: str, seconds: float = CLAIM_SECONDS) -> Claim | None:
        """A claim, or `None` if somebody holds one that has not expired."""
        with self._connections.writing() as connection:
            return claims.take(connection, key, holder, self._time(), seconds)

    def renew_claim(self, claim: Claim, seconds: float = CLAIM_SECONDS) -> Claim:
        """The heartbeat. Raises `ClaimLostError` if it expired and was taken, or was ended."""
        with self._connections.writing() as connection:
            return claims.renew(connection, claim, self._time(), seconds)

    def release_claim(self, claim: Claim) -> None:
        """End a claim, if it still is this one; nothing happens otherwise."""
        with self._connections.writing() as connection:
            claims.end(connection, claim)

    def list_claims(self) -> list[Claim]:
        """Claims that have not expired, by key."""
        with self._connections.reading() as connection:
            return claims.holding(connection, self._time())

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()

    def _time(self) -> int:
        return to_microseconds(self._clock())
