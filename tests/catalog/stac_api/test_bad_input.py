"""Input that is wrong: the right 4xx, with its reason, never a 500."""

import json
from typing import Any

import pytest

from tests.catalog.stac_api.tester import ApiTester

BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
DEEP: Any = {"op": "not", "args": []}
for _ in range(200):
    DEEP = {"op": "not", "args": [DEEP]}


GET_PARAMETERS = [
    ({"limit": "0"}, "limit must be a whole number of 1 or more (got 0)"),
    ({"limit": "-1"}, "limit must be"),
    ({"limit": "ten"}, "limit must be"),
    ({"limit": "1.5"}, "limit must be"),
    ({"bbox": "1,2,3"}, "bbox must have 4 numbers, or 6 with heights (got 3)"),
    ({"bbox": "1,2,3,4,5"}, "(got 5)"),
    ({"bbox": "1,2,3,4,5,6,7"}, "(got 7)"),
    ({"bbox": "[1,2,3,4]"}, "bbox must be numbers"),
    ({"bbox": "nan,2,3,4"}, "finite"),
    ({"bbox": "1,2,inf,4"}, "finite"),
    ({"bbox": "0,10,1,5"}, "south before north"),
    ({"bbox": "0,0,700,1"}, "longitudes"),
    ({"bbox": "0,0,9,1,1,5"}, "low to high"),
    ({"datetime": "yesterday"}, "datetime must be a time of RFC 3339"),
    ({"datetime": ""}, "datetime"),
    ({"datetime": "2024-06-01"}, "datetime"),
    ({"datetime": "2024-13-01T00:00:00Z"}, "datetime"),
    ({"datetime": "2024-06-01T00:00:00"}, "datetime"),
    ({"datetime": "0001-01-01T00:00:00+14:00"}, "datetime"),
    ({"datetime": "9999-12-31T23:59:59-14:00"}, "datetime"),
    ({"datetime": "../.."}, "not open"),
    ({"datetime": "/"}, "not open"),
    ({"datetime": "2024-06-02T00:00:00Z/2024-06-01T00:00:00Z"}, "not end before it starts"),
    ({"datetime": "2024-06-01T00:00:00Z/2024-06-02T00:00:00Z/.."}, "one / at most"),
    ({"intersects": "{"}, "intersects must be JSON"),
    ({"intersects": "[1]"}, "GeoJSON geometry"),
    ({"intersects": json.dumps({"type": "Feature"})}, "GeoJSON geometry"),
    ({"intersects": json.dumps(BOW_TIE)}, "Self-intersection"),
    ({"intersects": '{"type":"Point","coordinates":[NaN,1]}'}, "finite"),
    ({"intersects": '{"type":"Polygon","coordinates":[]}'}, "coordinates"),
    ({"intersects": '{"type":"Polygon"}'}, "coordinates"),
    ({"intersects": '{"type":"Polygon","coordinates":[[[0,0]]]}'}, "coordinates"),
    ({"intersects": '{"type":"Point","coordinates":' + "[" * 500 + "]" * 500 + "}"}, "nested"),
    ({"bbox": "0,0,1,1", "intersects": '{"type":"Point","coordinates":[0,0]}'}, "together"),
    ({"filter": "eo:cloud_cover <"}, "filter is no CQL2 text"),
    ({"filter": "(" * 600 + "true" + ")" * 600}, "filter is too long"),
    ({"filter": "{", "filter-lang": "cql2-json"}, "filter must be JSON"),
    ({"filter": "[]", "filter-lang": "cql2-json"}, "filter must be an object"),
    ({"filter": json.dumps(DEEP), "filter-lang": "cql2-json"}, "nested"),
    ({"filter": '{"op":"nothing","args":[1]}', "filter-lang": "cql2-json"}, ""),
    ({"filter": "true", "filter-lang": "sql"}, "filter-lang"),
    ({"filter": "true", "filter-crs": "EPSG:3857"}, "filter-crs"),
    ({"query": "{"}, "query must be JSON"),
    ({"query": "[1]"}, "query must be an object"),
    ({"query": '{"a": 1}'}, "query of a must be an object of eq"),
    ({"query": '{"a": {"like": 1}}'}, "query of a must use eq"),
    ({"query": '{"a": {"lt": [1]}}'}, "query of a cannot use lt"),
    ({"query": '{"a": {"in": []}}'}, "query of a cannot use in"),
    ({"query": '{"a": {"startsWith": 1}}'}, "cannot use startsWith"),
    ({"sortby": "-"}, "sortby"),
    ({"token": "invented"}, ""),
]
IN_ITEMS = [one for one in GET_PARAMETERS if "intersects" not in one[0]]
"""Items of a collection cannot be searched by geometry. Source: OGC API Features."""


@pytest.mark.parametrize(("parameters", "reason"), GET_PARAMETERS)
def test_search_bad_parameter_is_400_with_its_reason(
    api: ApiTester, parameters: dict[str, str], reason: str
) -> None:
    message = api.assert_error("GET", "/search", 400, "InvalidQuery", params=parameters)
    assert reason in message


@pytest.mark.parametrize(("parameters", "reason"), IN_ITEMS)
def test_items_bad_parameter_is_400_with_its_reason(
    api: ApiTester, parameters: dict[str, str], reason: str
) -> None:
    path = "/collections/kappamask-l1c/items"
    assert reason in api.assert_error("GET", path, 400, "InvalidQuery", params=parameters)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"limit": 0}, "limit must be a whole number of 1 or more (got 0)"),
        ({"limit": -3}, "limit must be"),
        ({"limit": "many"}, "limit"),
        ({"limit": [1]}, "limit"),
        ({"bbox": [1, 2, 3]}, "(got 3)"),
        ({"bbox": [1, 2, 3, 4, 5]}, "(got 5)"),
        ({"bbox": [1, 2, 3, 4, 5, 6, 7]}, "(got 7)"),
        ({"bbox": "1,2,3,4"}, "bbox"),
        ({"bbox": [1, 2, 3, True]}, "bbox must be numbers"),
        ({"bbox": [1, 2, 3, None]}, "bbox must be numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "64-bit"),
        ({"bbox": [0, 10, 1, 5]}, "south before north"),
        ({"datetime": 5}, "datetime"),
        ({"datetime": "soon"}, "datetime must be a time of RFC 3339"),
        ({"intersects": BOW_TIE}, "Self-intersection"),
        ({"intersects": "POINT (1 1)"}, "intersects"),
        ({"intersects": {"type": "GeometryCollection", "geometries": "x"}}, "coordinates"),
        (
            {"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}},
            "together",
        ),
        ({"ids": "item-001"}, "ids"),
        ({"ids": [1]}, "ids"),
        ({"collections": {"a": 1}}, "collections"),
        ({"filter": {"op": "nothing", "args": []}}, ""),
        ({"filter": {}}, ""),
        ({"filter": {"op": "=", "args": [{"property": "a"}]}}, ""),
        ({"filter": DEEP}, "nested"),
        ({"filter": [1]}, "filter"),
        ({"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, BOW_TIE]}}, ""),
        ({"filter": {"op": "=", "args": [{"property": "datetime"}, {"timestamp": "soon"}]}}, ""),
        ({"query": {"a": {}}}, "query of a"),
        ({"sortby": ["-datetime", 3]}, "sortby"),
        ({"sortby": [{"field": "a", "direction": "up"}]}, "sortby"),
        ({"sortby": [{"direction": "asc"}]}, "sortby"),
        ({"fields": None}, "fields"),
        ({"fields": ["id"]}, "fields"),
        ({"fields": {"include": "id"}}, "fields.include"),
        ({"token": 5}, "token"),
        ({"token": "invented"}, ""),
    ],
)
def test_post_bad_parameter_is_400_with_its_reason(
    api: ApiTester, body: dict[str, Any], reason: str
) -> None:
    content = json.dumps(body)
    headers = {"Content-Type": "application/json"}
    message = api.assert_error(
        "POST", "/search", 400, "InvalidQuery", content=content, headers=headers
    )
    assert reason in message


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        ("{", "application/json", "the body is not JSON"),
        ("", "application/json", "the body"),
        ("[]", "application/json", "the body must be a JSON object"),
        ('"text"', "application/json", "the body must be a JSON object"),
        ("null", "application/json", "the body must be a JSON object"),
        ("[" * 100_000, "application/json", "body"),
        ('{"limit": 1}', "text/plain", "Content-Type: application/json"),
        (b"\xff\xfe", "application/json", "body"),
        ('{"bbox": [NaN, 0, 1, 1]}', "application/json", "finite"),
        ('{"limit": 1, "ids": ["\\ud800"]}', "application/json", ""),
    ],
)
def test_post_body_that_is_no_object_is_400(
    api: ApiTester, content: str | bytes, content_type: str, reason: str
) -> None:
    message = api.assert_error(
        "POST", "/search", 400, "InvalidQuery",
        content=content, headers={"Content-Type": content_type},
    )  # fmt: skip
    assert reason in message


@pytest.mark.parametrize(
    "path",
    [
        "/collections/%00",
        "/collections/a%0D%0Ab%1B%5B31m",
        "/collections/a%00b/items/%00",
        "/models/%FF",
    ],
)
def test_address_with_odd_bytes_is_404(api: ApiTester, path: str) -> None:
    api.assert_error("GET", path, 404, "NotFound")


def test_long_value_is_cut_in_the_message(api: ApiTester) -> None:
    message = api.assert_error(
        "GET", "/search", 400, "InvalidQuery", params={"datetime": "x" * 5000}
    )
    assert len(message) < 400
