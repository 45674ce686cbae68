"""Collections in the SQLite store, and who sees them."""

import sqlite3

from kappamask_catalog.store.base import Access, Caller, Visibility
from kappamask_udf.errors import NotInStoreError

_VISIBLE = "(? OR visibility = ? OR owner = ?)"


def put_collection(
    connection: sqlite3.Connection, identifier: str, document: bytes, access: Access
) -> None:
    """Add a collection or replace its document and access."""
    connection.execute(
        "INSERT INTO collections (id, document, owner, visibility) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET document = excluded.document, owner = excluded.owner, "
        "visibility = excluded.visibility",
        (identifier, document, access.owner, access.visibility.value),
    )


def read_collection(
    connection: sqlite3.Connection, identifier: str, caller: Caller
) -> tuple[bytes, Access]:
    """Document and access. Raises `NotInStoreError` if the caller cannot see it."""
    found = connection.execute(
        f"SELECT document, owner, visibility FROM collections WHERE id = ? AND {_VISIBLE}",
        (identifier, *_eyes(caller)),
    ).fetchone()
    if found is None:
        raise _missing(identifier)
    document, owner, visibility = found
    return document, Access(owner, Visibility(visibility))


def visible_documents(connection: sqlite3.Connection, caller: Caller) -> list[bytes]:
    """Documents of the collections that a caller can see, by id."""
    rows = connection.execute(
        f"SELECT document FROM collections WHERE {_VISIBLE} ORDER BY id", _eyes(caller)
    )
    return [document for (document,) in rows]


def visible_collections(connection: sqlite3.Connection, caller: Caller) -> list[str]:
    """Ids of the collections that a caller can see, sorted."""
    rows = connection.execute(
        f"SELECT id FROM collections WHERE {_VISIBLE} ORDER BY id", _eyes(caller)
    )
    return [identifier for (identifier,) in rows]


def require_collection(connection: sqlite3.Connection, identifier: str) -> None:
    """Raise `NotInStoreError` if there is no such collection."""
    found = connection.execute("SELECT 1 FROM collections WHERE id = ?", (identifier,))
    if found.fetchone() is None:
        raise _missing(identifier)


def _eyes(caller: Caller) -> tuple[bool, str, str | None]:
    """Values for `_VISIBLE`; no owner equals `None`, so nobody owns what is the service's."""
    return caller.is_operator, Visibility.PUBLIC.value, caller.user


def _missing(identifier: str) -> NotInStoreError:
    # The same words for what is not there and what is not theirs.
    return NotInStoreError(f"there is no collection {identifier}")
