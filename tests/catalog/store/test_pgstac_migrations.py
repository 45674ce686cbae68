"""Setting up databases for pgstac, by whom, and what is refused."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool
from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate

from kappamask_catalog.store.base import ANYBODY, OPERATOR, ItemQuery
from kappamask_catalog.store.pgstac import PgstacStore, Versions, migrate
from kappamask_catalog.store.pgstac.migrations import PGSTAC_VERSION, read_scripts
from kappamask_udf.errors import StoreError
from tests.catalog.store.items import make_collection, make_item
from tests.postgres import OWNER, PASSWORD, PostgresServer

NOW = Versions(PGSTAC_VERSION, len(read_scripts()))


def name_of(dsn: str) -> str:
    return dsn.rpartition("/")[2]


def test_migrate_twice_changes_nothing(postgis_dsn: str) -> None:
    assert migrate(postgis_dsn) == NOW
    store = PgstacStore(postgis_dsn)
    store.put_collection(*make_collection("masks"))
    store.upsert_items("masks", [make_item("a")])
    assert migrate(postgis_dsn) == NOW
    assert store.search(ItemQuery(), ANYBODY).n_matched == 1
    store.close()


def test_migrate_by_several_at_once_is_done_once(postgis_dsn: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(migrate, [postgis_dsn] * 3)) == [NOW] * 3
    with psycopg.connect(postgis_dsn) as connection:
        assert connection.execute("SELECT version FROM pgstac.migrations").fetchall() == [
            (PGSTAC_VERSION,)
        ]


def test_migrate_of_an_older_pgstac_keeps_items(postgis_dsn: str) -> None:
    with (
        ConnectionPool(postgis_dsn, min_size=1, max_size=1) as pool,
        PgstacDB(pool=pool) as database,
    ):
        Migrate(database).run_migration("0.9.10")
    with psycopg.connect(postgis_dsn) as connection:
        connection.execute("SET search_path TO pgstac, public")
        connection.execute("SELECT create_collection(%s)", [Jsonb(make_collection("masks")[0])])
        connection.execute("SELECT create_item(%s)", [Jsonb(make_item("a", x=1))])
    with pytest.raises(StoreError, match=r"older than this version .* run: kappamask catalog migr"):
        PgstacStore(postgis_dsn)
    assert migrate(postgis_dsn) == NOW
    store = PgstacStore(postgis_dsn)
    assert store.search(ItemQuery(), OPERATOR).items == [make_item("a", x=1)]
    assert {"datetime", "x"} <= set(store.property_names("masks", OPERATOR))
    store.close()


def test_store_on_a_database_that_was_not_set_up_names_the_command(postgis_dsn: str) -> None:
    with pytest.raises(StoreError, match="has not been set up; run: kappamask catalog migrate"):
        PgstacStore(postgis_dsn)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO kappamask.migrations VALUES (99)",
        "INSERT INTO pgstac.migrations VALUES ('99.1.0', now() + interval '1 day')",
    ],
)
def test_database_of_a_newer_version_is_refused(postgis_dsn: str, statement: str) -> None:
    migrate(postgis_dsn)
    with psycopg.connect(postgis_dsn) as connection:
        connection.execute(statement.encode())
    for use in (PgstacStore, migrate):
        with pytest.raises(StoreError, match=r"newer than this version .* 99.*catalog migrate"):
            use(postgis_dsn)


def test_migrate_by_a_user_who_may_not_create_roles_says_so(
    postgis_dsn: str, postgres_server: PostgresServer
) -> None:
    postgres_server.execute(f"CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'")
    postgres_server.execute(f"ALTER DATABASE {name_of(postgis_dsn)} OWNER TO plain")
    with pytest.raises(StoreError, match=r"may not create roles.*CREATEROLE"):
        migrate(postgres_server.dsn(name_of(postgis_dsn), "plain"))


def test_migrate_without_postgis_names_the_extension(postgres_server: PostgresServer) -> None:
    name = postgres_server.create_database(owner=OWNER)
    with pytest.raises(StoreError, match=r"extension postgis .*run: CREATE EXTENSION postgis"):
        migrate(postgres_server.dsn(name))
    postgres_server.drop_database(name)


def test_store_of_a_user_with_the_role_for_writing_only_works(
    postgis_dsn: str, postgres_server: PostgresServer
) -> None:
    name = name_of(postgis_dsn)
    migrate(postgres_server.dsn(name, "postgres"))
    postgres_server.execute(f"CREATE ROLE service LOGIN PASSWORD '{PASSWORD}'")
    dsn = postgres_server.dsn(name, "service")
    with pytest.raises(StoreError, match="give the user the role pgstac_ingest"):
        PgstacStore(dsn)
    postgres_server.execute("GRANT pgstac_ingest TO service")
    store = PgstacStore(dsn)
    store.put_collection(*make_collection("masks", "somebody"))
    claim = store.try_claim("masks/a", "test")
    store.upsert_items("masks", [make_item("a", x=1), make_item("b")], claim)
    assert store.search(ItemQuery(), ANYBODY).n_matched == 2
    assert {"datetime", "x"} <= set(store.property_names(None, ANYBODY))
    assert store.delete_items("masks", ["a"]) == 1
    store.delete_collection("masks")
    assert store.list_collections(OPERATOR) == []
    store.close()
