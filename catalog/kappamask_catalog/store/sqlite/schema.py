"""Tables of the SQLite store, as numbered migrations.

A migration that has been released is never changed: a new one is added behind it.
"""

import sqlite3

from kappamask_udf.errors import StoreError

APPLICATION_ID = 0x6B61706D
"""`kapm`: tells our files from those of other programs (`PRAGMA application_id`)."""

_FIRST = (
    """CREATE TABLE collections (
        id TEXT PRIMARY KEY,
        document BLOB NOT NULL,
        owner TEXT,
        visibility TEXT NOT NULL
    ) WITHOUT ROWID""",
    # Sets of property names: items of a collection share a few, so listing all names is cheap.
    """CREATE TABLE name_sets (
        key INTEGER PRIMARY KEY,
        names TEXT NOT NULL UNIQUE
    )""",
    # What searches look at, in narrow rows. Times in microseconds since 1970; `start` and `stop`
    # are the item's range, `spread` how far it reaches from `time`, NULL where it does not. An item
    # that is replaced gets a new `row`, never one that was used before.
    """CREATE TABLE items (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        collection TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
        id TEXT NOT NULL,
        time INTEGER NOT NULL,
        start INTEGER NOT NULL,
        stop INTEGER NOT NULL,
        spread INTEGER,
        west REAL, south REAL, east REAL, north REAL,
        name_set INTEGER NOT NULL REFERENCES name_sets (key),
        cloud_cover,
        grid_code,
        UNIQUE (id, collection)
    )""",
    "CREATE INDEX items_by_time ON items (time DESC, id, collection, start, stop)",
    "CREATE INDEX items_of_collection ON items (collection, time DESC, id, start, stop)",
    "CREATE INDEX items_by_grid_code ON items (grid_code, time DESC, id)",
    "CREATE INDEX items_by_names ON items (collection, name_set)",
    "CREATE INDEX items_by_spread ON items (spread) WHERE spread IS NOT NULL",
    "CREATE TABLE geometries (row INTEGER PRIMARY KEY, geometry BLOB NOT NULL)",
    # The item without its properties, and these beside it: filters parse nothing else.
    """CREATE TABLE documents (
        row INTEGER PRIMARY KEY,
        properties TEXT NOT NULL,
        document BLOB NOT NULL
    )""",
    # Degrees and days since 1970: numbers of like size, so that the tree splits along all three.
    # Its `id` is 2 * row, and 2 * row + 1 for the second box of an item across the antimeridian.
    "CREATE VIRTUAL TABLE boxes USING rtree (id, west, east, south, north, start, stop)",
    """CREATE TRIGGER items_go AFTER DELETE ON items BEGIN
        DELETE FROM documents WHERE row = old.row;
        DELETE FROM geometries WHERE row = old.row;
        DELETE FROM boxes WHERE id = 2 * old.row;
        DELETE FROM boxes WHERE id = 2 * old.row + 1;
    END""",
    # AUTOINCREMENT: a token is never given twice, also when its row is gone.
    """CREATE TABLE claims (
        token INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        holder TEXT NOT NULL,
        expires INTEGER NOT NULL
    )""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Statements by version: the first brings an empty file to version 1, and so on."""


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring a database to the newest version, in one transaction.

    Raises:
        StoreError: it belongs to another program or to a newer version of this one.
    """
    # One state of the file: while we look, another process may bring it up.
    connection.execute("BEGIN")
    is_newest = _version(connection, name) == len(MIGRATIONS)
    connection.execute("COMMIT")
    if is_newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[_version(connection, name) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, name: str) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreError(f"{name} is a database of another program; name another file")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{name} has version {version} of the store and this kappamask knows up to "
            f"{len(MIGRATIONS)}; install the newer kappamask that made it"
        )
    return int(version)
