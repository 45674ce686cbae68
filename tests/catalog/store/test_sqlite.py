"""What only the SQLite store has: its file, its versions, its connections, its boxes."""

import os
import random
import sqlite3
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping

from kappamask_catalog.store.base import OPERATOR, ItemQuery, SortKey
from kappamask_catalog.store.sqlite import SqliteStore, connections, schema
from kappamask_udf.errors import StoreError

from .items import all_pages, find, make_collection, make_item, page_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    store.put_collection(*make_collection("masks"))
    yield store
    store.close()


def test_file_is_made_for_its_owner_only(store: SqliteStore, path: Path) -> None:
    store.upsert_items("masks", [make_item("one")])
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_closed_store_is_one_file(store: SqliteStore, path: Path) -> None:
    store.upsert_items("masks", [make_item("one")])
    store.close()
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["store.sqlite"]
    with pytest.raises(StoreError, match="closed"):
        find(store)


def test_file_has_our_mark_and_the_newest_version(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        values = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode")
        ]
    connection.close()
    assert values == [schema.APPLICATION_ID, len(schema.MIGRATIONS), "wal"]


def _change(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_file_of_a_newer_version_is_refused(store: SqliteStore, path: Path) -> None:
    store.close()
    _change(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"version 99 .* up to 1; install the newer kappamask"):
        SqliteStore(path)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"]
)
def test_database_of_another_program_is_refused_and_left_alone(path: Path, statement: str) -> None:
    _change(path, statement)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_older_version_is_brought_up(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert_items("masks", [make_item("one")])
    store.close()
    more = (*schema.MIGRATIONS, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)"))
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    for _ in range(2):
        again = SqliteStore(path)
        assert find(again) == ["one"]
        again.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM more").fetchone() == (1,)
    connection.close()


def test_migration_that_fails_leaves_the_file_as_it_was(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert_items("masks", [make_item("one")])
    store.close()
    broken = (*schema.MIGRATIONS, ("CREATE TABLE more (x)", "NONSENSE"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        with pytest.raises(StoreError, match="NONSENSE"):
            SqliteStore(path)
    again = SqliteStore(path)
    assert find(again) == ["one"]
    again.close()


def test_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    content = b"This is a letter to my aunt. " * 100
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a SQLite database"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"store.sqlite cannot be opened as a store: Is a dir"):
        SqliteStore(path)


def test_file_in_place_of_the_folder_is_refused(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.touch()
    with pytest.raises(StoreError, match="cannot be opened as a store"):
        SqliteStore(path)


def test_damaged_file_is_said(store: SqliteStore, path: Path) -> None:
    store.upsert_items("masks", [make_item(f"item-{number}") for number in range(200)])
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\x55" * (len(content) - 8192)
    path.write_bytes(content)
    again = SqliteStore(path)
    with pytest.raises(StoreError, match="damaged"):
        find(again, bbox=(13, 45, 14, 46))
    again.close()


def test_write_that_waits_too_long_is_said(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.1)
    impatient = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked by others for 0.1 seconds; try again"):
        impatient.upsert_items("masks", [make_item("one")])
    assert find(impatient) == []  # Reading goes on.
    other.execute("ROLLBACK")
    other.close()
    impatient.upsert_items("masks", [make_item("one")])
    impatient.close()


def test_claims_end_by_the_clock_of_the_store(path: Path) -> None:
    now = datetime(2024, 3, 10, tzinfo=UTC)
    store = SqliteStore(path, clock=lambda: now)
    claim = store.try_claim("key", "me", seconds=60)
    assert claim is not None
    assert claim.expires == now + timedelta(seconds=60)
    now += timedelta(seconds=59.9)
    assert store.try_claim("key", "other") is None
    now += timedelta(seconds=0.1)
    assert store.list_claims() == []
    assert store.try_claim("key", "other") is not None
    store.close()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_connection_of_a_thread_that_ended_is_closed(store: SqliteStore, path: Path) -> None:
    before = _open_files()
    for _ in range(20):
        thread = threading.Thread(target=find, args=(store,))
        thread.start()
        thread.join()
    # SQLite keeps files open that it may not close yet, a few.
    assert _open_files() < before + 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_has_its_own_connection(store: SqliteStore) -> None:
    store.upsert_items("masks", [make_item("one")])
    child = os.fork()
    if child == 0:
        is_right = find(store) == ["one"]
        store.upsert_items("masks", [make_item("two")])
        store.close()
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.upsert_items("masks", [make_item("three")])
    assert find(store) == ["one", "three", "two"]


def test_geometry_that_is_not_valid_is_found_where_it_is(store: SqliteStore) -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    item = make_item("one", where=bow_tie)
    store.upsert_items("masks", [item])
    assert page_of(store, bbox=(1.5, 0.9, 1.9, 1.1)).items == [item]
    assert find(store, bbox=(0.9, 1.5, 1.1, 1.9)) == []


def test_heights_do_not_count(store: SqliteStore) -> None:
    item = make_item("one")
    ring = [[13, 45, 100], [14, 45, 100], [14, 46, 100], [13, 45, 100]]
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    store.upsert_items("masks", [item])
    bbox: Any = (13.5, 45, -5, 14, 46, 5)
    assert page_of(store, bbox=bbox).items == [item]
    point = {"type": "Point", "coordinates": [13.9, 45.1, 7]}
    assert find(store, intersects=point) == ["one"]


def test_cloud_cover_and_grid_code_of_another_kind_count_as_missing(store: SqliteStore) -> None:
    store.upsert_items("masks", [make_item("one", eo__cloud_cover="much", grid__code=5)])
    for name in ("eo:cloud_cover", "grid:code"):
        assert find(store, filter={"op": "isNull", "args": [{"property": name}]}) == ["one"]


def test_text_that_is_no_unicode_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="JSON"):
        store.upsert_items("masks", [make_item("one", title="\ud800")])
    assert find(store, ids=("\ud800",)) == []
    assert store.delete_items("masks", ["\ud800"]) == 0
    with pytest.raises(StoreError):
        store.get_item("masks", "\ud800", OPERATOR)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([-0.5, 0.5, 2.0, 1e300]),
    st.sampled_from(["", "a", "B", "Ä", "'", "10"]), st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip


@given(
    values=st.lists(VALUES, max_size=8), others=st.lists(VALUES, min_size=8, max_size=8),
    is_descending=st.booleans(), limit=st.integers(1, 3),
)  # fmt: skip
def test_pages_sorted_by_values_of_any_kind_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[Any],
    others: list[Any],
    is_descending: bool,
    limit: int,
) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("sorted") / "store.sqlite")
    store.put_collection(*make_collection("masks"))
    pairs = enumerate(zip(values, others, strict=False))
    items = [make_item(f"item-{number}", x=value, y=other) for number, (value, other) in pairs]
    store.upsert_items("masks", items)
    query = ItemQuery(sort=(SortKey("x", is_descending), SortKey("y")), limit=limit)
    paged = [name for page in all_pages(store, query) for name in page]
    assert paged == find(store, sort=query.sort)
    assert sorted(paged) == [item["id"] for item in items]
    n_missing = values.count(None)
    assert {int(name[5:]) for name in paged[len(values) - n_missing :]} == {
        number for number, value in enumerate(values) if value is None
    }
    store.close()


def _footprint(rng: random.Random) -> shapely.Geometry:
    """A box or a triangle somewhere, cut at the antimeridian where it crosses it."""
    west, south = rng.uniform(-180, 180), rng.uniform(-60, 60)
    width, height = rng.uniform(0.1, 40), rng.uniform(0.1, 20)
    shape: shapely.Geometry = shapely.box(west, south, west + width, south + height)
    if rng.random() < 0.5:
        corners = [(west, south), (west + width, south), (west, south + height)]
        shape = shapely.Polygon(corners)
    world, beyond = shapely.box(-180, -90, 180, 90), shapely.box(180, -90, 540, 90)
    east = shapely.transform(shape & beyond, lambda xy: xy - [360, 0])
    return shapely.union_all([shape & world, east])


def _box(rng: random.Random) -> tuple[float, float, float, float]:
    west, south = rng.uniform(-180, 180), rng.uniform(-70, 60)
    east = west + rng.uniform(0, 120)
    return west, south, east - 360 if east > 180 else east, south + rng.uniform(0, 40)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_find_what_comparing_every_geometry_finds(store: SqliteStore, seed: int) -> None:
    rng = random.Random(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    shapes, times = {}, {}
    for number in range(200):
        name = f"item-{number:03}"
        shapes[name], times[name] = _footprint(rng), start + timedelta(hours=rng.randrange(2000))
    items = [make_item(name, times[name].isoformat(), shape) for name, shape in shapes.items()]
    store.upsert_items("masks", items)
    for _ in range(40):
        west, south, east, north = bbox = _box(rng)
        sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        area = shapely.union_all([shapely.box(one, south, other, north) for one, other in sides])
        first = start + timedelta(hours=rng.randrange(2000))
        interval = (first, first + timedelta(hours=rng.randrange(1000)))
        expected = [
            name
            for name in sorted(shapes, key=lambda one: (-times[one].timestamp(), one))
            if shapes[name].intersects(area) and interval[0] <= times[name] <= interval[1]
        ]
        by_box = ItemQuery(bbox=bbox, interval=interval, limit=7)
        by_shape = ItemQuery(intersects=mapping(area), interval=interval, limit=7)
        for query in (by_box, by_shape):
            pages = all_pages(store, query)
            assert [name for page in pages for name in page] == expected
            assert store.search(query, OPERATOR).n_matched == len(expected)
