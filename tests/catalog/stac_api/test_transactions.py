"""Collections and items changed over HTTP, by those who may."""

import pytest
from fastapi import FastAPI

from kappamask_catalog.store.base import OPERATOR, Access, Store, Visibility
from tests.catalog.stac_api.conftest import SECRET, BuildApp
from tests.catalog.stac_api.documents import build_collection, build_item, build_series
from tests.catalog.stac_api.tester import BASE, ApiTester, link_of

MINE = "/collections/masks-of-ann"


@pytest.fixture
def app(build_app: BuildApp) -> FastAPI:
    return build_app(secret=SECRET, enable_transactions=True)


@pytest.fixture
def operator(app: FastAPI) -> ApiTester:
    return ApiTester(app, "operator")


CHANGES = [
    ("POST", "/items", build_item("new")),
    ("PUT", "/items/ITEM", build_item("ITEM")),
    ("PATCH", "/items/ITEM", {"properties": {"gsd": 10}}),
    ("DELETE", "/items/ITEM", None),
    ("PUT", "", build_collection("COLLECTION")),
    ("PATCH", "", {"title": "Stolen"}),
    ("DELETE", "", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize(
    ("user", "collection", "item", "status", "code"),
    [
        (None, "kappamask-l1c", "item-001", 401, "AuthenticationRequired"),
        ("ann", "kappamask-l1c", "item-001", 403, "PermissionsInsufficient"),
        (None, "masks-of-bob", "bob-0", 404, "NotFound"),
        ("ann", "masks-of-bob", "bob-0", 404, "NotFound"),
    ],
)
def test_change_of_what_is_not_the_callers_is_refused(
    app: FastAPI, store: Store, method: str, path: str, body: dict | None,
    user: str | None, collection: str, item: str, status: int, code: str,
) -> None:  # fmt: skip
    before = store.get_item(collection, item, OPERATOR), store.get_collection(collection, OPERATOR)
    url = f"/collections/{collection}{path.replace('ITEM', item)}"
    ApiTester(app, user).assert_error(method, url, status, code, json=body)
    after = store.get_item(collection, item, OPERATOR), store.get_collection(collection, OPERATOR)
    assert after == before


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_change_where_not_enabled_is_405(
    build_app: BuildApp, method: str, path: str, body: dict | None
) -> None:
    api = ApiTester(build_app(), "operator")
    url = f"/collections/kappamask-l1c{path.replace('ITEM', 'item-001')}"
    api.assert_error(method, url, 405, "MethodNotAllowed", json=body)


def test_collection_of_a_user_is_theirs_and_private(ann: ApiTester, store: Store) -> None:
    response = ann.request("POST", "/collections", json=build_collection("new"))
    assert response.status_code == 201
    assert response.headers["location"] == f"{BASE}collections/new"
    assert link_of(response.json(), "self")["href"] == f"{BASE}collections/new"
    assert store.get_access("new", OPERATOR) == Access("ann", Visibility.PRIVATE)


def test_collection_of_an_operator_is_public(operator: ApiTester, store: Store) -> None:
    assert operator.request("POST", "/collections", json=build_collection("new")).status_code == 201
    assert store.get_access("new", OPERATOR) == Access()


def test_collection_somebody_who_has_not_logged_in_makes_none(api: ApiTester) -> None:
    body = build_collection("new")
    api.assert_error("POST", "/collections", 401, "AuthenticationRequired", json=body)


@pytest.mark.parametrize("name", ["kappamask-l1c", "masks-of-bob", "masks-of-ann"])
def test_collection_that_is_there_is_not_taken_over(
    ann: ApiTester, store: Store, name: str
) -> None:
    before = store.get_access(name, OPERATOR)
    ann.assert_error("POST", "/collections", 409, "Conflict", json=build_collection(name))
    assert store.get_access(name, OPERATOR) == before


def test_collection_is_replaced_patched_and_removed_by_its_owner(
    ann: ApiTester, store: Store
) -> None:
    body = build_collection("masks-of-ann", title="Replaced", keywords=["a"])
    assert ann.request("PUT", MINE, json=body).json()["title"] == "Replaced"
    patched = ann.request("PATCH", MINE, json={"title": "Patched", "keywords": None}).json()
    assert patched["title"] == "Patched"
    assert "keywords" not in patched
    assert store.get_access("masks-of-ann", OPERATOR) == Access("ann", Visibility.PRIVATE)
    assert ann.get(f"{MINE}/items")["numberMatched"] == 2
    assert ann.request("DELETE", MINE).status_code == 204
    ann.assert_error("GET", MINE, 404, "NotFound")


def test_item_is_added_replaced_patched_and_removed_by_the_owner(ann: ApiTester) -> None:
    item = build_item("new", collection_id="masks-of-ann")
    response = ann.request("POST", f"{MINE}/items", json=item)
    assert response.status_code == 201
    url = response.headers["location"]
    assert url == f"{BASE}collections/masks-of-ann/items/new"
    stored = ann.get(url)
    assert {**stored, "links": []} == {**item, "links": []}
    ann.assert_error("POST", f"{MINE}/items", 409, "Conflict", json=item)
    item["properties"]["gsd"] = 10
    assert ann.request("PUT", url, json=item).json()["properties"]["gsd"] == 10
    patch = {"properties": {"gsd": None, "title": "New"}}
    properties = ann.request("PATCH", url, json=patch).json()["properties"]
    assert properties["title"] == "New"
    assert "gsd" not in properties
    assert ann.request("DELETE", url).status_code == 204
    ann.assert_error("DELETE", url, 404, "NotFound")
    ann.assert_error("PUT", url, 404, "NotFound", json=item)


def test_items_of_a_feature_collection_are_added_all_or_none(ann: ApiTester) -> None:
    items = build_series(3, collection_id="masks-of-ann")
    body = {"type": "FeatureCollection", "features": [*items, build_item("ann-0")]}
    ann.assert_error("POST", f"{MINE}/items", 400, "InvalidDocument", json=body)
    body["features"][3]["collection"] = "masks-of-ann"
    ann.assert_error("POST", f"{MINE}/items", 409, "Conflict", json=body)
    assert ann.get(f"{MINE}/items")["numberMatched"] == 2
    body["features"] = items
    assert ann.request("POST", f"{MINE}/items", json=body).status_code == 201
    assert ann.get(f"{MINE}/items")["numberMatched"] == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "Thing"}, "type"),
        ({"id": ""}, "id: String should have at least 1"),
        ({"id": "a/b"}, "no /"),
        ({"id": 5}, "id"),
        ({"collection": "other"}, "must name collection 'masks-of-ann'"),
        ({"geometry": "somewhere"}, "geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, ""),
        ({"properties": {"datetime": "soon"}}, "datetime"),
        ({"properties": {}}, "datetime"),
        ({"assets": None}, "assets"),
        ({"links": "none"}, "links"),
        ({"bbox": [1, 2, 3]}, "bbox"),
    ],
)
def test_item_that_is_none_is_400_with_its_reason(
    ann: ApiTester, change: dict, reason: str
) -> None:
    item = {**build_item("new", collection_id="masks-of-ann"), **change}
    message = ann.assert_error("POST", f"{MINE}/items", 400, "InvalidDocument", json=item)
    assert reason in message


def test_item_of_a_collection_that_is_not_there_is_404(operator: ApiTester) -> None:
    item = build_item("new", collection_id="nothing")
    operator.assert_error("POST", "/collections/nothing/items", 404, "NotFound", json=item)


@pytest.mark.parametrize("body", [{"type": "FeatureCollection"}, {"features": 1}, {}])
def test_items_that_are_none_are_400(ann: ApiTester, body: dict) -> None:
    ann.assert_error("POST", f"{MINE}/items", 400, "InvalidDocument", json=body)


@pytest.mark.parametrize("content", ["[]", "{", "5"])
def test_body_that_is_no_object_is_400(ann: ApiTester, content: str) -> None:
    ann.assert_error(
        "POST", f"{MINE}/items", 400, "InvalidQuery",
        content=content, headers={"Content-Type": "application/json"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"id": "other"}, {"license": None}, {"extent": {}}, {"links": [{"href": 1}]}]
)
def test_collection_that_is_none_is_400(ann: ApiTester, change: dict) -> None:
    body = {**build_collection("masks-of-ann"), **change}
    ann.assert_error("PUT", MINE, 400, "InvalidDocument", json=body)
