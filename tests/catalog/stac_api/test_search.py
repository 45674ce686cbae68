"""Searches that are answered, with GET and with POST."""

import json
from typing import Any

import pytest

from kappamask_catalog.store.base import OPERATOR, Access, Store
from tests.catalog.stac_api.conftest import SERIES
from tests.catalog.stac_api.documents import Document, build_item
from tests.catalog.stac_api.tester import ApiTester, ids, link_of


def ask(api: ApiTester, method: str, **body: Any) -> Document:
    """A search, with the parameters of POST written for GET where that is the method."""
    if method == "POST":
        return api.search(**body)
    return api.get("/search", **{name: as_text(name, value) for name, value in body.items()})


def as_text(name: str, value: Any) -> str:
    if name == "sortby":
        return ",".join(("-" if key["direction"] == "desc" else "") + key["field"] for key in value)
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


@pytest.fixture(params=["GET", "POST"])
def method(request: pytest.FixtureRequest) -> str:
    return request.param


def test_search_without_conditions_gives_newest_first(api: ApiTester, method: str) -> None:
    page = ask(api, method)
    assert page["type"] == "FeatureCollection"
    assert page["numberMatched"] == SERIES
    assert page["numberReturned"] == len(page["features"]) == 10
    assert ids(page) == [f"item-{n:03}" for n in range(24, 14, -1)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"ids": ["item-003", "item-004"]}, [4, 3]),
        ({"collections": ["kappamask-l1c"], "ids": ["item-003"]}, [3]),
        ({"collections": ["nothing"]}, []),
        ({"bbox": [12.1, 57, 13.1, 59]}, [3, 2]),
        ({"bbox": [12.1, 57, -100, 13.1, 59, 9000]}, [3, 2]),
        ({"intersects": {"type": "Point", "coordinates": [12.1, 58.1]}}, [2]),
        ({"intersects": {"type": "Point", "coordinates": [12.1, 58.1, 300.0]}}, [2]),
        ({"datetime": "2024-06-04T09:30:00Z"}, [3]),
        ({"datetime": "2024-06-04T12:30:00+03:00"}, [3]),
        ({"datetime": "2024-06-04t00:00:00.123456789z/2024-06-05T23:59:59Z"}, [4, 3]),
        ({"datetime": "../2024-06-02T09:30:00Z"}, [1, 0]),
        ({"datetime": "2024-06-24T00:00:00Z/"}, [24, 23]),
        ({"query": {"eo:cloud_cover": {"gt": 3, "lte": 9}}}, [3, 2]),
        ({"query": {"properties.eo:cloud_cover": {"eq": 9}}}, [3]),
        ({"query": {"eo:cloud_cover": {"in": [3, 6]}}}, [2, 1]),
        ({"query": {"platform": {"startsWith": "sentinel_"}}}, []),
        ({"query": {"eo:cloud_cover": {"neq": 3}}, "ids": ["item-000", "item-001"]}, [0]),
        ({"query": {"nowhere": {"eq": None}}, "ids": ["item-001"]}, [1]),
        ({"ids": ["item-001", "item-002"], "bbox": [12.1, 57, 13.1, 59]}, [2]),
    ],
)
def test_search_condition_gives_what_meets_it(
    api: ApiTester, method: str, condition: Document, expected: list[int]
) -> None:
    page = ask(api, method, **condition)
    assert ids(page) == [f"item-{number:03}" for number in expected]
    assert page["numberMatched"] == len(expected)


@pytest.mark.parametrize(
    "pattern", [{"startsWith": "sentinel"}, {"endsWith": "2a"}, {"contains": "nel-"}]
)
def test_search_query_of_text_gives_what_matches(
    api: ApiTester, method: str, pattern: Document
) -> None:
    assert ask(api, method, query={"platform": pattern})["numberMatched"] == SERIES


FILTER_JSON = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 5]}


def test_search_filter_text_and_json_give_the_same(api: ApiTester) -> None:
    expected = ["item-001", "item-000"]
    text = "eo:cloud_cover < 5"
    assert ids(api.get("/search", filter=text)) == expected
    assert ids(api.get("/search", **{"filter": text, "filter-lang": "cql2-text"})) == expected
    plain = json.dumps(FILTER_JSON)
    assert ids(api.get("/search", **{"filter": plain, "filter-lang": "cql2-json"})) == expected
    assert ids(api.search(filter=FILTER_JSON)) == expected
    assert ids(api.search(**{"filter": text, "filter-lang": "cql2-text"})) == expected
    crs = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    assert ids(api.search(**{"filter": FILTER_JSON, "filter-crs": crs})) == expected


def test_search_filter_between_of_drafts_is_understood(api: ApiTester) -> None:
    name = {"property": "eo:cloud_cover"}
    for args in ([name, 3, 6], [name, [3, 6]]):
        condition = {"op": "not", "args": [{"op": "between", "args": args}]}
        assert api.search(filter=condition)["numberMatched"] == SERIES - 2


def test_search_filter_and_query_must_both_hold(api: ApiTester, method: str) -> None:
    body = {
        "filter": FILTER_JSON,
        "query": {"eo:cloud_cover": {"gt": 1}},
        "filter-lang": "cql2-json",
    }
    assert ids(ask(api, method, **body)) == ["item-001"]


def test_items_take_filter_sort_and_fields_too(api: ApiTester) -> None:
    page = api.get(
        "/collections/kappamask-l1c/items",
        filter="eo:cloud_cover < 9", sortby="+eo:cloud_cover", fields="id", bbox="11,57,13,59",
        datetime="2024-06-01T00:00:00Z/..",
    )  # fmt: skip
    assert ids(page) == ["item-001", "item-002"]
    assert set(page["features"][0]) == {"type", "stac_version", "id", "collection"}


def test_search_sort_goes_by_field_and_direction(api: ApiTester, method: str) -> None:
    for direction, first in (("asc", "item-000"), ("desc", "item-024")):
        for field in ("eo:cloud_cover", "properties.eo:cloud_cover", "id"):
            key = {"field": field, "direction": direction}
            assert ids(ask(api, method, sortby=[key], limit=1)) == [first]


def test_search_limit_above_the_maximum_is_clamped(api: ApiTester, method: str) -> None:
    for limit in (10_001, 10**12):
        assert len(ask(api, method, limit=limit)["features"]) == SERIES


@pytest.mark.parametrize(
    "bbox", [[179, -1, -179, 1], [179, -1, 0, -179, 1, 100], [179, -1, 181, 1], [-181, -1, -179, 1]]
)
def test_search_box_across_the_antimeridian_finds_both_sides(
    api: ApiTester, store: Store, method: str, bbox: list[float]
) -> None:
    items = [build_item(name, west=west, south=0) for name, west in
             (("east", 179.2), ("west", -179.8), ("far", 0.0))]  # fmt: skip
    store.upsert_items("kappamask-l1c", items)
    assert set(ids(ask(api, method, bbox=bbox))) == {"east", "west"}


@pytest.mark.parametrize("empty", [{"ids": []}, {"collections": []}, {"bbox": []}, {"sortby": []}])
def test_search_empty_list_is_no_condition(api: ApiTester, empty: Document) -> None:
    assert api.search(**empty)["numberMatched"] == SERIES


def test_search_fields_without_names_gives_the_default_ones(api: ApiTester) -> None:
    default = {
        "type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets",
        "properties",
    }  # fmt: skip
    for include in ([], None):
        (item,) = api.search(fields={"include": include}, limit=1)["features"]
        assert set(item) == default
        assert set(item["properties"]) == {"datetime"}
        fields = {"include": include, "exclude": ["geometry"]}
        (item,) = api.search(fields=fields, limit=1)["features"]
        assert set(item) == default - {"geometry"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"include": ["id"]}, {"type", "stac_version", "id", "collection"}),
        ({"include": ["properties.platform"]}, {
            "type", "stac_version", "id", "collection", "properties",
        }),
        ({"exclude": ["assets", "links"]}, {
            "type", "id", "collection", "properties", "geometry", "bbox", "stac_version",
            "stac_extensions",
        }),
        ({}, {
            "type", "id", "collection", "properties", "geometry", "bbox", "stac_version", "links",
            "assets",
        }),
        ({"include": ["geometry"], "exclude": ["geometry"]}, {
            "type", "stac_version", "id", "collection", "geometry",
        }),
    ],
)  # fmt: skip
def test_search_fields_gives_only_these(
    api: ApiTester, fields: Document, expected: set[str]
) -> None:
    names = [*fields.get("include", ()), *(f"-{name}" for name in fields.get("exclude", ()))]
    for page in (api.search(fields=fields), api.get("/search", fields=",".join(names))):
        assert set(page["features"][0]) == expected


def test_search_fields_the_more_exact_one_counts(api: ApiTester) -> None:
    page = api.get("/search", fields="-properties,+properties.platform", limit="1")
    assert page["features"][0]["properties"] == {"platform": "sentinel-2a"}
    page = api.search(fields={"exclude": ["properties.platform", "assets.mask.href"]}, limit=1)
    (item,) = page["features"]
    assert "platform" not in item["properties"]
    assert item["properties"]["eo:cloud_cover"] == 72
    assert set(item["assets"]["mask"]) == {"type", "roles"}


@pytest.mark.parametrize("path", ["/search", "/collections/kappamask-l1c/items"])
def test_paging_with_get_gives_every_item_once(api: ApiTester, path: str) -> None:
    query = {"limit": "7", "filter": "eo:cloud_cover >= 3", "sortby": "id"}
    pages = list(api.pages(api.get(path, **query)))
    assert [len(page["features"]) for page in pages] == [7, 7, 7, 3]
    assert [name for page in pages for name in ids(page)] == [f"item-{n:03}" for n in range(1, 25)]
    assert all(page["numberMatched"] == 24 for page in pages)


def test_paging_with_post_gives_every_item_once(api: ApiTester) -> None:
    body = {"limit": 7, "query": {"eo:cloud_cover": {"gte": 3}}, "fields": {"include": ["id"]}}
    pages = list(api.pages(api.search(**body)))
    assert [name for page in pages for name in ids(page)] == [
        f"item-{n:03}" for n in range(24, 0, -1)
    ]


def test_paging_with_post_link_works_with_and_without_merging(api: ApiTester) -> None:
    body = {"limit": 2, "ids": ["item-001", "item-002", "item-003"]}
    link = link_of(api.search(**body), "next")
    assert link["merge"] is True
    assert ids(api.search(**link["body"])) == ["item-001"]
    assert ids(api.search(**{**body, **link["body"]})) == ["item-001"]


def test_paging_is_stable_while_items_are_added(api: ApiTester, store: Store) -> None:
    first = api.search(limit=10)
    store.upsert_items("kappamask-l1c", [build_item("newer", time="2025-01-01T00:00:00Z")])
    names = [name for page in api.pages(first) for name in ids(page)]
    assert names == [f"item-{n:03}" for n in range(24, -1, -1)]


def test_search_collection_deleted_meanwhile_is_no_failure(
    api: ApiTester, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = store.search

    def search_and_lose(*arguments: Any) -> Any:
        page = search(*arguments)
        store.delete_collection("kappamask-l1c")
        return page

    monkeypatch.setattr(store, "search", search_and_lose)
    assert api.search()["numberReturned"] == 10
    assert store.get_access("masks-of-ann", OPERATOR) != Access()
