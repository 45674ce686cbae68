"""What every store promises: searches, each condition alone and with others."""

from datetime import UTC, datetime
from typing import Any

import pytest
import shapely
from shapely.geometry import mapping

from kappamask_catalog.store.base import OPERATOR, ItemQuery, SortKey, Store
from kappamask_udf.errors import InvalidQueryError

from .items import find, make_collection, make_item, page_of

Interval = tuple[datetime | None, datetime | None]
FIJI = shapely.MultiPolygon([shapely.box(179, -18, 180, -17), shapely.box(-180, -18, -179, -17)])
FRAME = shapely.box(-5, -5, 5, 5) - shapely.box(-1, -1, 4, 4)
TRIANGLE = shapely.Polygon([(20, 10), (21, 10), (20, 11)])


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2024, 3, number, hour, tzinfo=UTC)


def cql(operator: str, *arguments: Any) -> dict[str, Any]:
    return {"op": operator, "args": list(arguments)}


def prop(name: str) -> dict[str, str]:
    return {"property": name}


def during(first: int, last: int) -> dict[str, Any]:
    return {"interval": [f"2024-03-{number:02}T00:00:00Z" for number in (first, last)]}


@pytest.fixture
def filled(store: Store) -> Store:
    """Five items in `masks`, from the newest: e, d, c, b, a; and `a` in `other`, older still."""
    store.put_collection(*make_collection("other"))
    store.upsert_items(
        "masks",
        [
            make_item("a", "2024-03-01T00:00:00Z", (0, 0, 1, 1), eo__cloud_cover=50, word="Apple"),
            make_item("b", "2024-03-02T00:00:00Z", (2, 0, 3, 1), eo__cloud_cover=5.5, word="pear"),
            make_item("c", "2024-03-03T00:00:00Z", FIJI, eo__cloud_cover=0, word="100%"),
            make_item("d", "2024-03-04T00:00:00.5Z", TRIANGLE, eo__cloud_cover=None, word="a_b"),
            make_item(
                "e", ("2024-03-05T00:00:00Z", "2024-03-09T00:00:00Z"), (0, 50, 1, 51),
                eo__cloud_cover=100, word="axb", platform="sentinel-2b",
            ),
        ],
    )  # fmt: skip
    store.upsert_items("other", [make_item("a", "2024-02-01T00:00:00Z", (0, 0, 1, 1))])
    return store


def test_search_without_conditions_gives_newest_first(filled: Store) -> None:
    page = filled.search(ItemQuery(), OPERATOR)
    found = [(one["collection"], one["id"]) for one in page.items]
    masks = [("masks", name) for name in "edcba"]
    assert found == [*masks, ("other", "a")]
    assert page.n_matched == 6
    assert page.next_token is None


def test_search_equal_times_are_sorted_by_id(store: Store) -> None:
    store.upsert_items("masks", [make_item(name) for name in ("m", "z", "a")])
    assert find(store) == ["a", "m", "z"]


@pytest.mark.parametrize(
    ("collections", "n_found"),
    [(("masks",), 5), (("other",), 1), (("masks", "other"), 6), (("nope",), 0), ((), 0)],
)
def test_search_by_collections(filled: Store, collections: tuple[str, ...], n_found: int) -> None:
    page = page_of(filled, collections=collections)
    assert {one["collection"] for one in page.items} <= set(collections)
    assert page.n_matched == len(page.items) == n_found


def test_search_by_ids(filled: Store) -> None:
    assert find(filled, ids=("a", "c", "nope")) == ["c", "a", "a"]
    assert find(filled, ids=("a",), collections=("other",)) == ["a"]
    assert find(filled, ids=()) == []


@pytest.mark.parametrize(
    ("bbox", "found"),
    [
        ((0.5, 0.5, 0.6, 0.6), "aa"),
        ((-1, -1, 5, 5), "baa"),
        ((1, 1, 2, 2), "baa"),  # touches the corner of one and the side of the other
        ((1.1, 0, 1.9, 1), ""),
        ((0.5, 0.5, 0.5, 0.5), "aa"),
        ((0.25, 0.5, 0.75, 0.5), "aa"),
        ((-180, -90, 180, 90), "edcbaa"),
        ((20.7, 10.7, 21, 11), ""),  # inside the triangle's box, outside of the triangle
        ((20.1, 10.1, 20.2, 10.2), "d"),
        ((179.5, -18, 180, -17), "c"),
        ((-180, -18, -179.5, -17), "c"),
        ((179.5, -18, -179.5, -17), "c"),
        ((170, -20, -170, -10), "c"),
        ((170, -20, 2.5, 20), "cbaa"),
        ((-178, -20, 178, -15), ""),  # all around but where it is
        ((-179.5, -20, 178, 20), "dcbaa"),
    ],
)
def test_search_by_bbox(filled: Store, bbox: tuple[float, ...], found: str) -> None:
    page = page_of(filled, bbox=bbox)
    assert "".join(one["id"] for one in page.items) == found
    assert page.n_matched == len(found)


@pytest.mark.parametrize(
    ("geometry", "found"),
    [
        (shapely.Point(0.5, 0.5), "aa"),
        (shapely.LineString([(0.5, 0.5), (2.5, 0.5)]), "baa"),
        (shapely.Polygon([(0, 0), (4, 0), (0, 4)]), "baa"),
        (shapely.Polygon([(2.9, 1.5), (4, 0.5), (4, 2)]), ""),
        (shapely.MultiPoint([(2.5, 0.5), (0.5, 50.5)]), "eb"),
        (shapely.box(20.8, 10.8, 22, 12), ""),
        (FIJI, "c"),
        (shapely.GeometryCollection([shapely.Point(179.5, -17.5), TRIANGLE]), "dc"),
        (FRAME, ""),
    ],
)  # fmt: skip
def test_search_by_geometry(filled: Store, geometry: shapely.Geometry, found: str) -> None:
    page = page_of(filled, intersects=mapping(geometry))
    assert "".join(one["id"] for one in page.items) == found
    assert page.n_matched == len(found)


@pytest.mark.parametrize(
    ("interval", "found"),
    [
        ((day(2), day(3)), "cb"),  # both ends inside
        ((day(2, 1), day(2, 23)), ""),
        ((day(3), day(3)), "c"),
        ((None, day(2)), "baa"),
        ((day(3), None), "edc"),
        ((None, None), "edcbaa"),
        ((day(6), day(7)), "e"),  # inside of its range
        ((day(9), day(20)), "e"),
        ((day(9, 1), day(20)), ""),
        ((day(10), None), ""),
        ((None, day(5)), "edcbaa"),
        ((datetime(2024, 3, 4, microsecond=500_000, tzinfo=UTC),) * 2, "d"),
        ((datetime(2024, 3, 4, microsecond=500_001, tzinfo=UTC), day(4, 1)), ""),
    ],
)
def test_search_by_interval(filled: Store, interval: Interval, found: str) -> None:
    page = page_of(filled, interval=interval)
    assert "".join(one["id"] for one in page.items) == found
    assert page.n_matched == len(found)


def test_search_interval_in_another_time_zone(store: Store) -> None:
    store.upsert_items("masks", [make_item("one", "2024-03-10T23:30:00-02:00")])
    assert find(store, interval=(day(11, 1), day(11, 2))) == ["one"]
    assert find(store, interval=(day(10), day(11))) == []


def test_search_range_that_reaches_far_from_its_start(filled: Store) -> None:
    filled.upsert_items("masks", [make_item("f", ("2000-01-01T00:00:00Z", "2030-01-01T00:00:00Z"))])
    assert find(filled, interval=(day(20), day(21))) == ["f"]
    assert find(filled, interval=(day(1), day(1))) == ["a", "f"]
    assert find(filled, interval=(day(20), day(21)), bbox=(13, 45, 14, 46)) == ["f"]


def test_search_finds_an_item_by_its_range_if_it_has_a_time_as_well(store: Store) -> None:
    ends = {"start_datetime": "2024-03-01T00:00:00Z", "end_datetime": "2024-03-05T00:00:00Z"}
    store.upsert_items("masks", [make_item("one", "2024-03-03T00:00:00Z", **ends)])
    assert find(store, interval=(day(4), day(4, 12))) == ["one"]
    assert find(store, interval=(None, day(1))) == ["one"]
    assert find(store, interval=(day(5, 1), None)) == []


FILTERS = [
    (cql("=", prop("eo:cloud_cover"), 50), "a"),
    (cql("<", prop("eo:cloud_cover"), 50), "cb"),
    (cql("<=", prop("eo:cloud_cover"), 50), "cba"),
    (cql(">", prop("eo:cloud_cover"), 5.5), "ea"),
    (cql(">=", prop("eo:cloud_cover"), 5.5), "eba"),
    (cql("<>", prop("eo:cloud_cover"), 50), "ecb"),
    (cql("<", prop("properties.eo:cloud_cover"), 50), "cb"),
    (cql("between", prop("eo:cloud_cover"), 5.5, 50), "ba"),
    (cql("in", prop("word"), ["pear", "axb", "none"]), "eb"),
    (cql("isNull", prop("eo:cloud_cover")), "d"),
    (cql("not", cql("isNull", prop("eo:cloud_cover"))), "ecba"),
    (cql("isNull", prop("nobody:has_it")), "edcba"),
    (cql("=", prop("word"), "Apple"), "a"),
    (cql("=", prop("word"), "apple"), ""),
    (cql("like", prop("word"), "a%"), "ed"),
    (cql("like", prop("word"), "a_b"), "ed"),
    (cql("like", prop("word"), "a\\_b"), "d"),
    (cql("like", prop("word"), "%\\%"), "c"),
    (cql("like", prop("word"), "%p%"), "ba"),
    (cql("=", cql("casei", prop("word")), cql("casei", "APPLE")), "a"),
    (cql("and", cql(">", prop("eo:cloud_cover"), 1), cql("<", prop("eo:cloud_cover"), 99)), "ba"),
    (cql("or", cql("=", prop("word"), "pear"), cql("=", prop("platform"), "sentinel-2b")), "eb"),
    (cql("not", cql("=", prop("platform"), "sentinel-2b")), "dcba"),
    (cql("=", prop("id"), "b"), "b"),
    (cql("in", prop("id"), ["b", "c"]), "cb"),
    (cql(">=", prop("datetime"), {"timestamp": "2024-03-03T00:00:00Z"}), "edc"),
    (cql("=", prop("datetime"), {"timestamp": "2024-03-02T00:00:00Z"}), "b"),
    (cql(">", prop("datetime"), "2024-03-03T00:00:00Z"), "ed"),
    (cql("t_after", prop("datetime"), {"timestamp": "2024-03-03T00:00:00Z"}), "ed"),
    (cql("t_before", prop("datetime"), {"timestamp": "2024-03-02T00:00:00Z"}), "a"),
    (cql("t_intersects", prop("datetime"), during(2, 3)), "cb"),
    (cql("t_intersects", prop("datetime"), {"interval": ["2024-03-03T00:00:00Z", ".."]}), "edc"),
    (cql("t_during", prop("datetime"), during(1, 4)), "cb"),
    (cql("s_intersects", prop("geometry"), mapping(shapely.box(0.5, 0.5, 2.5, 0.6))), "ba"),
    (cql("s_within", prop("geometry"), mapping(shapely.box(-1, -1, 2.5, 5))), "a"),
    (cql("s_contains", prop("geometry"), mapping(shapely.Point(20.1, 10.1))), "d"),
    (cql("s_disjoint", prop("geometry"), mapping(shapely.box(-5, -5, 5, 5))), "edc"),
    (cql("not", cql("s_intersects", prop("geometry"), mapping(shapely.box(-5, -5, 5, 5)))), "edc"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "found"), FILTERS)
def test_search_by_filter(filled: Store, document: dict[str, Any], found: str) -> None:
    page = page_of(filled, collections=("masks",), filter=document)
    assert "".join(one["id"] for one in page.items) == found
    assert page.n_matched == len(found)


def test_search_filter_on_collection(filled: Store) -> None:
    document = cql("=", prop("collection"), "other")
    assert [one["collection"] for one in page_of(filled, filter=document).items] == ["other"]


@pytest.mark.parametrize(
    "document",
    [
        cql("nearly", prop("eo:cloud_cover"), 50),
        cql("=", prop("eo:cloud_cover")),
        {"op": "="},
        {"args": [1, 2]},
        {},
        cql("s_intersects", prop("geometry"), {"type": "Polygon", "coordinates": [[[1, 2]]]}),
        cql(">", prop("datetime"), {"timestamp": "yesterday"}),
        cql("and", cql("=", prop("word"), "pear"), "word"),
    ],
)
def test_search_filter_that_is_not_understood_is_refused(
    filled: Store, document: dict[str, Any]
) -> None:
    with pytest.raises(InvalidQueryError):
        find(filled, filter=document)


def test_search_conditions_must_all_hold(filled: Store) -> None:
    conditions: dict[str, Any] = {
        "collections": ("masks",),
        "ids": ("a", "b", "c"),
        "bbox": (-10, -10, 10, 10),
        "intersects": mapping(shapely.box(-10, 0.5, 2.5, 0.6)),
        "interval": (day(1), day(2)),
        "filter": cql(">", prop("eo:cloud_cover"), 10),
    }
    assert find(filled, **conditions) == ["a"]
    changes = {
        "collections": ("other",),
        "ids": ("b",),
        "bbox": (5, 5, 6, 6),
        "intersects": mapping(shapely.Point(2.5, 0.5)),
        "interval": (day(2), day(2)),
        "filter": cql("<", prop("eo:cloud_cover"), 1),
    }
    for name, change in changes.items():
        assert find(filled, **{**conditions, name: change}) == [], name


SELF_INTERSECTING = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}


@pytest.mark.parametrize(
    "conditions",
    [
        {"limit": 0},
        {"limit": -1},
        {"bbox": (0, 10, 1, 5)},
        {"bbox": (0, float("nan"), 1, 5)},
        {"intersects": {"type": "Point"}},
        {"intersects": {"type": "Circle", "coordinates": [1, 2]}},
        {"intersects": {"type": "Point", "coordinates": ["a", "b"]}},
        {"intersects": SELF_INTERSECTING},
        {"interval": (day(3), day(2))},
        {"interval": (day(3).replace(tzinfo=None), None)},
        {"token": "garbled"},
        {"token": ""},
        {"token": "Ä"},
        {"sort": (SortKey("geometry"),)},
    ],
)
def test_search_that_cannot_be_understood_is_refused(
    filled: Store, conditions: dict[str, Any]
) -> None:
    with pytest.raises(InvalidQueryError):
        find(filled, **conditions)
