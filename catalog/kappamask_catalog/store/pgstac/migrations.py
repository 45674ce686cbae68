"""Brings a database to the schema that this version of the code works with.

pgstac migrates itself; what is ours lives in the schema `kappamask` beside it, as numbered files
that are run once each, in order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version

import psycopg
from psycopg_pool import ConnectionPool

from kappamask_catalog.store.pgstac.database import (
    Address,
    Connection,
    connect,
    one_line,
    parse_dsn,
    translated,
)
from kappamask_udf.errors import StoreError

COMMAND = "kappamask catalog migrate"
PGSTAC_VERSION = version("pypgstac")
ROLES = ("pgstac_admin", "pgstac_read", "pgstac_ingest")
EXTENSIONS = ("postgis", "btree_gist", "unaccent")
LOCK = 0x6B61707061  # "kappa"; any number that no other program takes

PREPARE_ROLE = """
DO $$ BEGIN
    IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF;
    -- pgstac's own script grants pgstac_admin only, and then needs pgstac_ingest as well. From
    -- PostgreSQL 16 on, who makes a role is a member that may not yet act as it.
    IF NOT pg_has_role(current_user, '{role}',
        CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
    THEN
        EXECUTE format('GRANT {role} TO %I', current_user);
    END IF;
END $$
"""


@dataclass(frozen=True)
class Versions:
    """What a database holds; `None` and 0 where there is nothing."""

    pgstac: str | None
    kappamask: int


def read_scripts() -> list[str]:
    """Our own migrations; the first makes version 1 of version 0."""
    folder = resources.files(__package__) / "sql"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [file.read_text() for file in files]


def read_versions(connection: Connection) -> Versions:
    """What the database has been migrated to."""
    pgstac, kappamask = None, 0
    tables = "SELECT to_regclass('pgstac.migrations'), to_regclass('kappamask.migrations')"
    has_pgstac, has_kappamask = connection.execute(tables).fetchone() or (None, None)
    if has_pgstac:
        (pgstac,) = connection.execute("SELECT pgstac.get_version()").fetchone() or (None,)
    if has_kappamask:
        query = "SELECT coalesce(max(version), 0) FROM kappamask.migrations"
        (kappamask,) = connection.execute(query).fetchone() or (0,)
    return Versions(pgstac, kappamask)


def check_versions(found: Versions, address: Address) -> None:
    """Refuse a database that this code does not know.

    Raises:
        StoreError: it was not migrated, or by an older or newer version; the message says which.
    """
    if found.pgstac is None and found.kappamask == 0:
        raise StoreError(f"{address} has not been set up; run: {COMMAND}")
    check_not_newer(found, address)
    if _minor(found.pgstac) < _minor(PGSTAC_VERSION) or found.kappamask < len(read_scripts()):
        raise StoreError(
            f"{address} is older than this version of kappamask: pgstac {found.pgstac}, schema"
            f" {found.kappamask}, where {PGSTAC_VERSION} and {len(read_scripts())} are needed;"
            f" run: {COMMAND}"
        )


def check_not_newer(found: Versions, address: Address) -> None:
    """Refuse a database that a newer version of the code has migrated."""
    if _minor(found.pgstac) > _minor(PGSTAC_VERSION) or found.kappamask > len(read_scripts()):
        raise StoreError(
            f"{address} is newer than this version of kappamask: pgstac {found.pgstac}, schema"
            f" {found.kappamask}, where {PGSTAC_VERSION} and {len(read_scripts())} are known;"
            f" install the version that ran: {COMMAND}"
        )


def migrate(dsn: str) -> Versions:
    """Set up a database, or bring it up to date. May be called again at any time.

    Two calls at once wait for each other.

    Args:
        dsn: of a user who owns the database and may create roles. The extensions `postgis`,
            `btree_gist` and `unaccent` must be there, or the user must be allowed to create them.

    Returns:
        What the database holds now.

    Raises:
        StoreError: the server is not there, the user may not do it, or the database is newer.
    """
    conninfo, address = parse_dsn(dsn)
    with _locked(conninfo, address) as connection:
        found = read_versions(connection)
        check_not_newer(found, address)
        if found.pgstac is None or _numbers(found.pgstac) < _numbers(PGSTAC_VERSION):
            _check_rights(connection, address)
            _migrate_pgstac(conninfo, connection, address)
        _migrate_own(connection, found.kappamask)
        return read_versions(connection)


@contextmanager
def _locked(conninfo: str, address: Address) -> Iterator[Connection]:
    rights = "run it as the user who ran it first, or as a superuser"
    with connect(conninfo, address) as connection, translated(address, rights=rights):
        # Ends with the connection, so that a process that dies does not keep it.
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield connection


def _check_rights(connection: Connection, address: Address) -> None:
    """Say at once what is missing: pgstac's script would stop somewhere in the middle."""
    query = """
        SELECT rolsuper, rolcreaterole, has_database_privilege(current_database(), 'CREATE'),
            ARRAY(SELECT name FROM unnest(%s::text[]) name
                WHERE name NOT IN (SELECT extname FROM pg_extension))
        FROM pg_roles WHERE rolname = current_user
    """
    row = connection.execute(query, [list(EXTENSIONS)]).fetchone()
    is_superuser, may_create_roles, may_create, missing = row or (False, False, False, [])
    if is_superuser:
        return
    if not may_create_roles:
        raise StoreError(
            f"{address}: the user may not create roles, which pgstac needs once; as a superuser"
            " run: ALTER ROLE ... CREATEROLE"
        )
    if not may_create:
        raise StoreError(
            f"{address}: the user may not create schemas; as a superuser run:"
            f" ALTER DATABASE {address.database} OWNER TO ..."
        )
    for name in missing:
        try:
            connection.execute(f"CREATE EXTENSION {name}")
        except psycopg.Error as error:
            raise StoreError(
                f"{address}: extension {name} is missing and cannot be created"
                f" ({one_line(error)}); as a superuser run: CREATE EXTENSION {name}"
            ) from error


def _migrate_pgstac(conninfo: str, connection: Connection, address: Address) -> None:
    # Only here: it takes a second, reads `.env` and changes how psycopg writes JSON everywhere.
    from pypgstac.db import PgstacDB
    from pypgstac.migrate import Migrate

    for role in ROLES:
        connection.execute(PREPARE_ROLE.format(role=role))
    with ConnectionPool(conninfo, min_size=1, max_size=1, open=True) as pool:
        try:
            with PgstacDB(pool=pool) as database:
                Migrate(database).run_migration()
        except psycopg.Error:
            raise
        except Exception as error:  # pypgstac raises nothing more special
            raise StoreError(f"{address}: pgstac: {one_line(error)}") from error


def _migrate_own(connection: Connection, done: int) -> None:
    """Run our scripts, all or none, as the owner of pgstac, so that any member of it can later."""
    with connection.transaction():
        has_schema = "SELECT to_regnamespace('kappamask') IS NOT NULL"
        if connection.execute(has_schema).fetchone() != (True,):
            connection.execute("CREATE SCHEMA kappamask AUTHORIZATION pgstac_admin")
        connection.execute("SET LOCAL ROLE pgstac_admin")
        connection.execute("SET LOCAL search_path TO pgstac, public")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS kappamask.migrations"
            " (version int PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )
        for number, script in enumerate(read_scripts()[done:], done + 1):
            connection.execute(script.encode())
            connection.execute("INSERT INTO kappamask.migrations VALUES (%s)", [number])
        # Names in items that another tool has loaded.
        connection.execute(
            "INSERT INTO kappamask.property_names SELECT DISTINCT collection, name"
            " FROM pgstac.items, jsonb_object_keys(content->'properties') name"
            " ON CONFLICT DO NOTHING"
        )


def _numbers(version_text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (version_text or "0").split(".") if part.isdecimal())


def _minor(version_text: str | None) -> tuple[int, ...]:
    """The part within which pgstac's functions keep their arguments."""
    return _numbers(version_text)[:2]
