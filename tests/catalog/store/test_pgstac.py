"""What only the store in PostgreSQL has: connections, and several writers at once."""

import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import shapely
from psycopg.types.json import Jsonb
from shapely.geometry import mapping

from kappamask_catalog.store.base import ANYBODY, OPERATOR, ItemQuery, SortKey
from kappamask_catalog.store.pgstac import PgstacStore
from kappamask_udf.errors import (
    ClaimLostError,
    InvalidDocumentError,
    InvalidQueryError,
    NotInStoreError,
    StoreError,
)
from tests.catalog.store.items import all_pages, find, make_collection, make_item
from tests.postgres import PASSWORD, PASSWORD_IN_URL, PostgresServer

SECRETS = (PASSWORD, PASSWORD_IN_URL, quote(PASSWORD), "hunter2")


MASK = {"type": "image/tiff", "title": "Mask", "roles": ["data", "cloud"]}
ITEM_ASSETS = {"mask": MASK, "thumbnail": {"type": "image/png"}}
"""What pgstac takes out of items and puts into them again."""


@pytest.fixture
def store(pgstac_dsn: str) -> Iterator[PgstacStore]:
    store = PgstacStore(pgstac_dsn, wait_s=2)
    store.put_collection(*make_collection("masks", item_assets=ITEM_ASSETS))
    yield store
    store.close()


# What pgstac makes of documents


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {"datetime": None, "start_datetime": "2024-01-01T00:00:00Z",
                        "end_datetime": "2024-01-02T00:00:00Z"}},
        {"properties": {"datetime": "2024-01-01T00:00:00Z", "a": {"b": None, "c": [None, 1.5]}}},
        {"assets": {}},
        {"assets": {"mask": {"href": "a", "title": None}, "other": {"href": "b"}}},
        {"geometry": {"type": "Point", "coordinates": [13.123456789012345, -0.1, 200.5]}},
        {"geometry": {"type": "GeometryCollection", "geometries": [
            {"type": "Point", "coordinates": [1, 2]}]}},
        {"geometry": {"type": "Polygon", "coordinates": [  # crosses itself
            [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}},
        {"extra": ["𒍟※", {"deep": None}], "stac_version": "1.0.0"},
    ],
)  # fmt: skip
def test_item_comes_back_as_it_was_put(store: PgstacStore, changes: dict[str, Any]) -> None:
    item = make_item("a") | changes
    store.upsert_items("masks", [item, make_item("b")])
    store.put_collection(*make_collection("masks", item_assets={"mask": {"title": "New"}}))
    assert store.get_item("masks", "a", ANYBODY) == item
    assert store.search(ItemQuery(ids=("a",)), ANYBODY).items == [item]
    assert store.get_item("masks", "b", ANYBODY) == make_item("b")


def test_item_that_crosses_itself_is_found_and_breaks_no_search(store: PgstacStore) -> None:
    ring = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
    bow = make_item("bow") | {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    store.upsert_items("masks", [bow, make_item("box", where=(0.2, 0.2, 0.4, 0.4))])
    area = mapping(shapely.box(-1, -1, 2, 2))
    for operator in ("s_intersects", "s_within"):
        expression = {"op": operator, "args": [{"property": "geometry"}, area]}
        assert find(store, filter=expression) == ["bow", "box"]
    assert find(store, bbox=(0.9, 0.4, 1, 0.6)) == ["bow"]


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {"datetime": "2024-06-01T10:00:00Z", "a": "\0"}},
        {"properties": {"datetime": "2024-06-01T10:00:00Z", "a": "\ud800"}},
        {"properties": {"datetime": "2024-06-01T10:00:00Z", "a": float("nan")}},
        {"properties": {"datetime": "2024-06-01T10:00:00Z", "a": object()}},
        {"id": random.Random(1).randbytes(5000).hex()},
        {"id": "\0"},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
    ],
)
def test_item_that_postgresql_refuses_is_an_invalid_document(
    store: PgstacStore, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        store.upsert_items("masks", [make_item("good"), make_item("bad") | changes])
    assert len(str(caught.value).splitlines()) == 1
    assert find(store) == []


def test_collection_that_postgresql_refuses_is_an_invalid_document(store: PgstacStore) -> None:
    extent = {"spatial": {"bbox": [["west", 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}}
    with pytest.raises(InvalidDocumentError, match="west"):
        store.put_collection(*make_collection("masks", extent=extent))


# Searches


@pytest.mark.parametrize("text", ["' OR true --", "%s %(a)s", "a\\'b", "\0", "\ud800", "$1", "{}"])
def test_any_text_in_a_query_is_only_a_text(store: PgstacStore, text: str) -> None:
    store.upsert_items("masks", [make_item("a")])
    expression = {"op": "=", "args": [{"property": text}, text]}
    queries = [ItemQuery(ids=(text,)), ItemQuery(collections=(text,)),
               ItemQuery(sort=(SortKey(f"x{text}"),)), ItemQuery(filter=expression)]  # fmt: skip
    for query in queries:
        try:
            found = store.search(query, OPERATOR).n_matched
        except InvalidQueryError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right
        else:
            assert found == (1 if query.sort else 0)
    for ask in (store.get_collection, store.get_access, store.property_names):
        with pytest.raises(NotInStoreError):
            ask(text, OPERATOR)
    with pytest.raises(NotInStoreError):
        store.get_item("masks", text, OPERATOR)


def test_pages_go_on_where_the_last_item_is_gone(store: PgstacStore) -> None:
    store.upsert_items("masks", [make_item(f"i{n}", x=n) for n in range(6)])
    query = ItemQuery(sort=(SortKey("x"),), limit=2)
    first = store.search(query, ANYBODY)
    store.delete_items("masks", ["i1"])
    store.upsert_items("masks", [make_item("early", x=0.5), make_item("late", x=2.5)])
    second = store.search(replace(query, token=first.next_token), ANYBODY)
    assert [item["id"] for item in second.items] == ["i2", "late"]
    assert second.n_matched == 7


@pytest.mark.parametrize("is_descending", [False, True])
def test_sort_takes_numbers_by_value_and_missing_ones_last(
    store: PgstacStore, is_descending: bool
) -> None:
    values = {"a": 9, "b": 10, "c": 0.5, "d": None, "f": -1e30}
    items = [make_item(name, x=value) for name, value in values.items()] + [make_item("e")]
    store.upsert_items("masks", items)
    wanted = ["f", "c", "a", "b"]
    wanted = [*(wanted[::-1] if is_descending else wanted), "d", "e"]
    query = ItemQuery(sort=(SortKey("x", is_descending),), limit=1)
    found = [name for page in all_pages(store, query) for name in page]
    assert found == wanted


@pytest.mark.parametrize("is_descending", [False, True])
def test_pages_by_values_of_any_kind_are_the_whole(store: PgstacStore, is_descending: bool) -> None:
    values = [3, -0.5, 1e300, "a", "B", "Ä", "10", "", True, False, [1], [0, 1], {"a": 1}, None, 3]
    items = [make_item(f"i{number:02}", x=value) for number, value in enumerate(values)]
    store.upsert_items("masks", items)
    query = ItemQuery(sort=(SortKey("x", is_descending),), limit=2)
    found = [name for page in all_pages(store, query) for name in page]
    assert found == find(store, sort=query.sort)
    assert sorted(found) == [item["id"] for item in items]
    assert found[-1] == "i13"


@pytest.mark.parametrize("token", ["", "?", "bm9uZQ", "W10", "WyIxMjM0NTY3OCIsIngiLCJ5IiwieiJd"])
def test_token_of_somebody_else_is_an_invalid_query(store: PgstacStore, token: str) -> None:
    with pytest.raises(InvalidQueryError, match="token"):
        store.search(ItemQuery(token=token), ANYBODY)


def test_search_that_takes_too_long_is_stopped(pgstac_dsn: str, store: PgstacStore) -> None:
    hasty = PgstacStore(pgstac_dsn, statement_s=0.2)
    with psycopg.connect(pgstac_dsn) as other:
        other.execute("LOCK TABLE pgstac.items")
        with pytest.raises(StoreError, match="took too long"):
            hasty.search(ItemQuery(), ANYBODY)
    hasty.close()


def test_collection_of_another_tool_is_for_operators_until_it_is_put(
    store: PgstacStore, pgstac_dsn: str
) -> None:
    with psycopg.connect(pgstac_dsn) as other:
        document = Jsonb(make_collection("theirs")[0])
        other.execute("SELECT pgstac.create_collection(%s)", [document])
    assert store.get_collection("theirs", OPERATOR)["id"] == "theirs"
    with pytest.raises(NotInStoreError):
        store.get_collection("theirs", ANYBODY)
    store.put_collection(*make_collection("theirs"))
    assert store.get_collection("theirs", ANYBODY)["id"] == "theirs"


# Several connections


def test_claim_that_many_want_goes_to_one(pgstac_dsn: str) -> None:
    stores = [PgstacStore(pgstac_dsn, max_connections=2) for _ in range(4)]
    together = threading.Barrier(8)

    def take(number: int) -> int | None:
        together.wait(10)
        claim = stores[number % 4].try_claim("key", str(number))
        return None if claim is None else claim.token

    for token in (1, 2, 3):
        with ThreadPoolExecutor(8) as pool:
            tokens = list(pool.map(take, range(8)))
        assert sorted(tokens, key=str) == [token] + [None] * 7
        (claim,) = stores[0].list_claims()
        stores[1].release_claim(claim)
    for store in stores:
        store.close()


def test_claim_waits_for_the_publication_that_is_under_way(
    store: PgstacStore, pgstac_dsn: str
) -> None:
    claim = store.try_claim("key", "slow", seconds=0.3)
    assert claim is not None
    with psycopg.connect(pgstac_dsn) as publisher, ThreadPoolExecutor(1) as pool:
        publisher.execute("SELECT FROM kappamask.claims WHERE key = 'key' FOR UPDATE")
        publisher.execute("SELECT pg_sleep(0.4)")  # it expires while it is being used
        other = pool.submit(store.try_claim, "key", "other")
        with pytest.raises(TimeoutError):
            other.result(0.3)
        publisher.commit()
        taken = other.result(10)
    assert taken is not None
    assert (taken.token, taken.holder) == (2, "other")
    with pytest.raises(ClaimLostError):
        store.upsert_items("masks", [make_item("a")], claim)
    assert find(store) == []
    assert store.list_claims() == [taken]


def test_writers_that_widen_a_partition_all_succeed(pgstac_dsn: str, store: PgstacStore) -> None:
    stores = [PgstacStore(pgstac_dsn, max_connections=2) for _ in range(4)]

    def write(number: int) -> None:
        for n in range(6):
            day = 15 + (n if number % 2 else -n)
            item = make_item(f"{number}-{n}", f"2024-03-{day:02}T10:00:00Z")
            stores[number].upsert_items("masks", [item, make_item("shared", gsd=number)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert store.search(ItemQuery(), OPERATOR).n_matched == 25
    for one in stores:
        one.close()


def test_store_goes_on_when_its_connections_were_ended(
    store: PgstacStore, postgres_server: PostgresServer
) -> None:
    store.upsert_items("masks", [make_item("a")])
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'kappamask_owner'"
    assert postgres_server.execute(end)
    assert find(store) == ["a"]


def test_store_goes_on_after_a_restart_of_the_server(
    store: PgstacStore, postgres_server: PostgresServer
) -> None:
    store.upsert_items("masks", [make_item("a")])
    postgres_server.stop()
    try:
        with pytest.raises(StoreError, match="no connection in time"):
            store.search(ItemQuery(), ANYBODY)
    finally:
        postgres_server.start()
    deadline = threading.Event()
    for _ in range(20):
        try:
            assert find(store) == ["a"]
            break
        except StoreError:  # the pool waits longer and longer before it tries again
            deadline.wait(0.5)
    assert find(store) == ["a"]


def test_store_that_was_closed_says_so(store: PgstacStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.list_claims()


# Credentials


@pytest.mark.parametrize(
    "template",
    [
        "postgresql://kappamask_owner:hunter2@127.0.0.1:{port}/postgres",
        "postgresql://kappamask_owner:hunter2@127.0.0.1:1/postgres",
        "postgresql://kappamask_owner:{secret}@127.0.0.1:{port}/no_such_database",
        "postgres:kappamask_owner:hunter2@127.0.0.1/postgres",
        "postgresql://kappamask_owner:hun@hunter2@127.0.0.1/postgres",
        "postgresql://kappamask_owner:hunter2@127.0.0.1:port/postgres",
        "host=127.0.0.1 password=hunter2 port={port} nonsense=1",
        "host=127.0.0.1 user=kappamask_owner password=hunter2 port={port} dbname=postgres",
        "",
    ],
)
def test_address_that_does_not_work_is_a_store_error_without_credentials(
    postgres_server: PostgresServer,
    postgis_template: str,
    template: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    dsn = template.format(port=postgres_server.port, secret=PASSWORD_IN_URL)
    with pytest.raises(StoreError) as caught:
        PgstacStore(dsn)
    assert len(str(caught.value).splitlines()) == 1
    text = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert not any(secret in text for secret in SECRETS)


def test_store_does_not_show_its_password(store: PgstacStore) -> None:
    assert not any(secret in repr([store, vars(store)]) for secret in SECRETS)


def test_store_without_the_extra_names_it() -> None:
    code = "import sys; sys.modules['psycopg'] = None; import kappamask_catalog.store.pgstac"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: the store in PostgreSQL needs psycopg" in done.stderr
    assert "openeo-kappamask[postgres]" in done.stderr


def test_collection_in_partitions_by_month_gives_the_same_pages(
    store: PgstacStore, pgstac_dsn: str
) -> None:
    items = [
        make_item(f"i{n:02}", f"2024-{1 + n % 7:02}-{1 + n:02}T10:00:00Z", x=n) for n in range(20)
    ]
    store.upsert_items("masks", items[:10])
    with psycopg.connect(pgstac_dsn) as other:
        other.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = 'masks'")
    store.upsert_items("masks", [*items[10:], make_item("i03", "2024-09-01T10:00:00Z", x=3)])
    items[3] = make_item("i03", "2024-09-01T10:00:00Z", x=3)
    newest = sorted(items, key=lambda item: item["properties"]["datetime"], reverse=True)
    page = store.search(ItemQuery(limit=50), ANYBODY)
    assert page.items == newest
    for sort in ((), (SortKey("datetime"),), (SortKey("x"),)):
        pages = all_pages(store, ItemQuery(sort=sort, limit=3))
        assert [name for one in pages for name in one] == find(store, sort=sort)
    assert store.delete_items("masks", ["i03"]) == 1
