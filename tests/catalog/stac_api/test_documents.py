"""Landing page, conformance, collections, items and what they link to."""

from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.stac_api import StacApiSettings, create_stac_app
from kappamask_catalog.stac_api.links import QUERYABLES
from kappamask_catalog.store.base import Access, Store
from kappamask_udf.models import load_registry
from tests.catalog.stac_api.conftest import BuildApp
from tests.catalog.stac_api.documents import Document, build_collection, build_item
from tests.catalog.stac_api.tester import BASE, ApiTester, link_of


def test_landing_page_links_lead_to_every_resource(api: ApiTester) -> None:
    page = api.get("/")
    assert page["conformsTo"] == api.get("/conformance")["conformsTo"]
    expected = {"self", "root", "data", "conformance", "service-desc", "service-doc", QUERYABLES}
    for rel in expected:
        link = link_of(page, rel)
        response = api.request("GET", link["href"])
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] == link["type"].split(";")[0]


def test_landing_page_has_search_for_get_and_post(api: ApiTester) -> None:
    searches = [link for link in api.get("/")["links"] if link["rel"] == "search"]
    assert {(link["method"], link["href"]) for link in searches} == {
        ("GET", f"{BASE}search"), ("POST", f"{BASE}search"),
    }  # fmt: skip


def test_landing_page_another_api_adds_what_it_has(build_app: BuildApp) -> None:
    app = build_app()
    app.state.landing.add(
        conforms_to=["https://api.openeo.org/1.2.0"],
        links=lambda base: [{"rel": "version-history", "href": f"{base}.well-known/openeo"}],
        fields=lambda _: {"api_version": "1.2.0"},
    )
    api = ApiTester(app)
    page = api.get("/")
    assert page["api_version"] == "1.2.0"
    assert link_of(page, "version-history")["href"] == f"{BASE}.well-known/openeo"
    assert "https://api.openeo.org/1.2.0" in api.get("/conformance")["conformsTo"]


def test_conformance_transactions_are_not_claimed_unless_enabled(build_app: BuildApp) -> None:
    for enabled in (False, True):
        classes = ApiTester(build_app(enable_transactions=enabled)).get("/conformance")
        assert any("transaction" in one for one in classes["conformsTo"]) is enabled


@pytest.mark.parametrize("path", ["/collections/kappamask-l1c", "/collections"])
def test_collection_links_are_absolute_and_right(api: ApiTester, path: str) -> None:
    document = api.get(path)
    (collection,) = document.get("collections", [document])
    url = f"{BASE}collections/kappamask-l1c"
    assert link_of(collection, "self")["href"] == url
    assert link_of(collection, "items")["href"] == f"{url}/items"
    assert link_of(collection, QUERYABLES)["href"] == f"{url}/queryables"
    assert link_of(collection, "parent")["href"] == BASE
    assert link_of(collection, "license")["href"].startswith("https://creativecommons.org")
    assert not validate_item(collection)


def test_item_links_are_absolute_and_stored_ones_kept(api: ApiTester) -> None:
    item = api.get("/collections/kappamask-l1c/items/item-003")
    collection = f"{BASE}collections/kappamask-l1c"
    assert link_of(item, "self")["href"] == f"{collection}/items/item-003"
    assert link_of(item, "collection")["href"] == collection
    assert link_of(item, "derived_from")["href"] == "https://elsewhere.example/product.json"
    assert item["assets"]["mask"]["href"] == "https://elsewhere.example/mask.tif"
    assert not validate_item(item)


def test_item_id_with_special_characters_is_found_by_its_own_link(
    api: ApiTester, store: Store
) -> None:
    name = "äöü % ?&#,"
    store.put_collection(build_collection("a b,c"), Access())
    store.upsert_items("a b,c", [build_item(name, collection_id="a b,c")])
    (item,) = api.search(ids=[name])["features"]
    assert api.get(link_of(item, "self")["href"])["id"] == name
    items = link_of(api.get(link_of(item, "parent")["href"]), "items")["href"]
    assert api.get(items)["numberMatched"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/collections/nothing", "/collections/nothing/items", "/collections/nothing/items/x",
        "/collections/nothing/queryables", "/collections/kappamask-l1c/items/nothing",
        "/models/nothing", "/nothing", "/collections/kappamask-l1c/nothing",
    ],
)  # fmt: skip
def test_address_of_nothing_is_404(api: ApiTester, path: str) -> None:
    api.assert_error("GET", path, 404, "NotFound")


def test_method_that_does_not_work_is_405_and_says_which_do(api: ApiTester) -> None:
    message = api.assert_error("DELETE", "/search", 405, "MethodNotAllowed")
    assert message.endswith("GET, POST, HEAD, OPTIONS")
    assert api.request("PUT", "/collections").headers["allow"] == "GET, HEAD, OPTIONS"


def test_queryables_have_types_of_the_properties_that_are_there(api: ApiTester) -> None:
    for path in ("/queryables", "/collections/kappamask-l1c/queryables"):
        schema = api.get(path)
        assert schema["$id"] == BASE + path[1:]
        properties = schema["properties"]
        assert properties["eo:cloud_cover"]["maximum"] == 100
        assert "sentinel-2a" in properties["platform"]["enum"]
        assert properties["collection"]["enum"] == ["kappamask-l1c"]
        assert {"id", "geometry", "datetime", "kappamask:model"} <= set(properties)
        assert "view:azimuth" not in properties
        assert all("title" in one for one in properties.values())


def test_models_are_a_catalog_of_valid_items(store: Store) -> None:
    def items() -> Iterable[Document]:
        return [model.spec.item for model in load_registry()]

    settings = StacApiSettings()

    class Elsewhere:
        def public_href(self, href: str, base_url: str, collection_id: str, is_public: bool) -> str:
            return href

    api = ApiTester(create_stac_app(store, Elsewhere(), settings, models=items))
    catalog = api.get(link_of(api.get("/"), "child")["href"])
    assert not validate_item(catalog)
    links = [link for link in catalog["links"] if link["rel"] == "item"]
    assert len(links) == len(list(items()))
    for link in links:
        item = api.get(link["href"])
        assert not validate_item(item)
        assert link_of(item, "parent")["href"] == f"{BASE}models"
        assert item["properties"]["mlm:name"] == urlsplit(link["href"]).path.rsplit("/")[-1]


def test_health_says_up(api: ApiTester) -> None:
    assert api.get("/_mgmt/health") == {"status": "UP"}


def test_health_store_that_is_gone_is_503_and_tells_nothing(
    api: ApiTester, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kappamask_udf.errors import StoreError

    def fail() -> None:
        raise StoreError("cannot open /secret/place.sqlite")

    monkeypatch.setattr(store, "list_claims", fail)
    message = api.assert_error("GET", "/_mgmt/health", 503, "Unavailable")
    assert "secret" not in message
    assert "/secret/place" in caplog.text


def test_bug_is_500_with_its_id_in_the_log_only(
    api: ApiTester, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("inner workings")

    monkeypatch.setattr(store, "search", fail)
    response = api.request("GET", "/search")
    number = response.json()["id"]
    assert "inner" not in api.assert_error("GET", "/search", 500, "Internal")
    records = [record for record in caplog.records if number in record.getMessage()]
    assert len(records) == 1
    assert records[0].exc_info is not None


def test_error_has_its_id_in_one_record_of_the_log(
    api: ApiTester, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    number = api.request("GET", "/collections/nothing").json()["id"]
    assert sum(number in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("path", ["/", "/collections", "/search", "/queryables", "/models"])
def test_head_is_get_without_body(api: ApiTester, path: str) -> None:
    got, head = api.request("GET", path), api.request("HEAD", path)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", ["/", "/search", "/assets/x", "/nothing"])
def test_options_is_204_with_cors_headers(api: ApiTester, path: str) -> None:
    response = api.request("OPTIONS", path)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert "Authorization" in response.headers["access-control-allow-headers"]
    assert "Link, Location" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_documents_are_compressed(api: ApiTester, encoding: str) -> None:
    response = api.request("GET", "/search", headers={"Accept-Encoding": encoding})
    assert response.headers["content-encoding"] == encoding
