"""Who sees which collection."""

from kappamask_catalog.store.base import Access, Caller, Visibility
from kappamask_catalog.store.pgstac.database import Connection
from kappamask_udf.errors import NotInStoreError

VISIBLE = """
SELECT c.id, c.content, a.owner, a.visibility
FROM pgstac.collections c LEFT JOIN kappamask.collection_access a ON a.collection = c.id
WHERE %(is_operator)s OR a.visibility = 'public' OR a.owner = %(user)s
"""
"""Collections that a caller sees. One that another tool has put has no access: only operators."""

PUT = """
INSERT INTO kappamask.collection_access (collection, owner, visibility) VALUES (%s, %s, %s)
ON CONFLICT (collection) DO UPDATE SET owner = excluded.owner, visibility = excluded.visibility
"""


def caller_values(caller: Caller) -> dict[str, object]:
    """The parameters of `VISIBLE`."""
    return {"is_operator": caller.is_operator, "user": caller.user}


def put_access(connection: Connection, collection_id: str, access: Access) -> None:
    """Set or replace whose a collection is."""
    connection.execute(PUT, [collection_id, access.owner, access.visibility.value])


def find_access(connection: Connection, collection_id: str, caller: Caller) -> Access:
    """Whose a collection is. Raises `NotInStoreError` if the caller cannot see it."""
    query = f"SELECT owner, visibility FROM ({VISIBLE}) AS v WHERE id = %(id)s"
    row = connection.execute(query, {"id": collection_id, **caller_values(caller)}).fetchone()
    if row is None:
        raise no_collection(collection_id)
    owner, visibility = row
    return Access(owner, Visibility(visibility or Visibility.PRIVATE))


def no_collection(collection_id: str) -> NotInStoreError:
    """What to raise for a collection that is not there, or not for the caller."""
    return NotInStoreError(f"there is no collection {collection_id}")
