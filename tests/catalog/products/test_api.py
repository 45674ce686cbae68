"""A STAC API is searched page by page; one that misbehaves is told so in one line."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kappamask_catalog.products import Credentials, ProductRef, SourceConfig, open_collection
from kappamask_catalog.products import server as server_module
from kappamask_catalog.products.api import ApiCollection
from kappamask_catalog.products.server import JsonServer
from kappamask_udf.errors import SourceError
from tests.catalog.products.items import item
from tests.catalog.products.stac_server import Answer, Request, Site, add_api, serve_site

pytestmark = pytest.mark.enable_socket


def make_items(count: int, collection: str = "sentinel-2-l1c") -> list[dict[str, Any]]:
    asset = {"B02": {"href": "./B02.jp2"}}
    return [
        item(f"item-{number}", collection, asset, datetime=f"2023-06-{number + 1:02}T10:00:00Z")
        for number in range(count)
    ]


@pytest.fixture
def config(site: Site) -> SourceConfig:
    return SourceConfig(
        "api", "stac-api", site.url, "L1C", ("sentinel-2-l1c",), timeout_s=1, page_size=4
    )


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def search(config: SourceConfig, waits: list[float]) -> Callable[..., list[ProductRef]]:
    """Search to the end; waiting is only written down."""
    collection = ApiCollection(config, JsonServer(config, sleep=waits.append))
    return lambda **query: list(collection.search(**query))


Search = Callable[..., list[ProductRef]]


@pytest.mark.parametrize("methods", [("GET", "POST"), ("GET",)])
def test_search_follows_pages_to_the_end(
    site: Site, config: SourceConfig, methods: tuple[str, ...]
) -> None:
    add_api(site, make_items(10) + make_items(3, "other"), methods)
    found = list(open_collection(config).search())
    assert [ref.id for ref in found] == [f"item-{number}" for number in range(10)]
    assert [request.method for request in site.requests[1:]] == [methods[-1]] * 3


def test_search_reference_has_what_opening_needs(site: Site, search: Search) -> None:
    items = make_items(1)
    items[0]["links"] = [{"rel": "self", "href": f"{site.url}/items/x"}]
    add_api(site, items)
    (ref,) = search()
    assert ref.location == f"{site.url}/items/x"
    assert ref.datetime == datetime(2023, 6, 1, 10, tzinfo=UTC)
    assert (ref.level, ref.tile) == ("L1C", "32TNN")
    assert ref.item is not None
    assert ref.item.assets["B02"].href == f"{site.url}/items/B02.jp2"


def test_search_item_without_self_link_has_the_usual_address(site: Site, search: Search) -> None:
    add_api(site, make_items(1))
    assert search()[0].location == f"{site.url}/collections/sentinel-2-l1c/items/item-0"


def test_search_limit_takes_no_more_pages_than_needed(site: Site, search: Search) -> None:
    add_api(site, make_items(10))
    assert len(search(limit=5)) == 5
    assert len(site.searches()) == 2
    assert len(search(limit=2)) == 2
    assert site.searches()[-1]["limit"] == 2


def test_search_conditions_are_sent(site: Site, search: Search) -> None:
    add_api(site, make_items(10))
    start, end = (datetime(2023, 6, day, tzinfo=UTC) for day in (3, 5))
    found = search(bbox=(170, -10, -170, 10), interval=(start, end))
    sent = site.searches()[0]
    assert sent["bbox"] == [170, -10, -170, 10]
    assert sent["datetime"] == "2023-06-03T00:00:00Z/2023-06-05T00:00:00Z"
    assert sent["collections"] == ["sentinel-2-l1c"]
    # This server does not know times; the condition holds all the same.
    assert [ref.id for ref in found] == ["item-2", "item-3"]


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((datetime(2023, 1, 1, tzinfo=UTC), None), "2023-01-01T00:00:00Z/.."),
        ((None, datetime(2023, 1, 1, tzinfo=UTC)), "../2023-01-01T00:00:00Z"),
        ((None, None), None),
    ],
)
def test_search_open_interval_is_sent_open(
    site: Site, search: Search, interval: Any, text: str | None
) -> None:
    add_api(site, make_items(1))
    search(interval=interval)
    assert site.searches()[0].get("datetime") == text


def test_search_nothing_found_is_no_error(site: Site, search: Search) -> None:
    add_api(site, [])
    assert search() == []


NOW = datetime(2023, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"bbox": (1, 2, 3)}, "west, south, east, north"),
        ({"bbox": (1, 2, 3, 4, 5, 6)}, "west, south, east, north"),
        ({"bbox": (1, math.nan, 3, 4)}, "west, south, east, north"),
        ({"bbox": (1, 5, 3, 4)}, "south before north"),
        ({"bbox": (-181, 0, 3, 4)}, "within 180"),
        ({"interval": (datetime(2023, 1, 1), None)}, "time zone"),
        ({"interval": (NOW.replace(year=2024), NOW)}, "ends before it begins"),
        ({"limit": 0}, "limit must be at least 1"),
    ],
)
def test_search_impossible_query_is_refused_before_asking(
    site: Site, search: Search, query: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        search(**query)
    assert site.requests == []


def assert_fails(search: Search, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        search()
    assert str(caught.value).startswith("source api: ")
    assert "\n" not in str(caught.value)


COLLECTION = {"type": "Collection", "id": "c", "stac_version": "1.1.0", "links": []}


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Answer(body=b"<html><body>Log in</body></html>"), "answers with a web page"),
        (Answer(body=b""), "answers with no JSON"),
        (Answer(body=b"[" * 100_000), "answers with no JSON"),
        (Answer(body=b"\xff\xfe{}"), "no text"),
        ([1, 2], "answers with a JSON list"),
        ({"hello": "world"}, "is JSON of another kind, not the root of a STAC API"),
        (COLLECTION, "is a Collection, not the root of a STAC API"),
        ({"type": "Catalog", "links": []}, "is a Catalog, not the root"),
        ({"type": "Catalog", "conformsTo": ["x/core"], "links": []}, "without item search"),
        (Answer(401), "HTTP 401 Unauthorized; it needs credentials"),
        (Answer(404), "HTTP 404"),
        (Answer(302, headers={"Location": "/"}), "redirects more than 5 times"),
        (Answer(302, headers={"Location": "file:///etc/hostname"}), "cannot be asked"),
    ],
)
def test_search_root_that_is_none_says_so(
    site: Site, search: Search, waits: list[float], root: Any, message: str
) -> None:
    site.documents["/"] = root
    assert_fails(search, message)
    assert waits == []


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Answer(body=b"<!DOCTYPE html>"), "answers with a web page"),
        ([1], "answers with a JSON list"),
        ({"type": "FeatureCollection", "features": {"a": 1}}, "not with items"),
        ({"features": [COLLECTION]}, "is a Collection, a STAC item was expected"),
        ({"features": ["text"]}, "a JSON str among the items"),
        ({"features": [{"type": "Feature", "id": "x", "assets": {}}]}, "no valid STAC item"),
        ({"features": make_items(1, "other")}, "gives item item-0 of collection other"),
        ({"features": make_items(1), "links": [{"href": "x"}]}, "no valid page"),
        (
            {"features": make_items(1), "links": [{"rel": "next", "href": "file:///etc/hostname"}]},
            "no http or https address",
        ),
        (Answer(400), "HTTP 400"),
        (Answer(403), "HTTP 403 Forbidden"),
        (Answer(307, headers={"Location": "/search"}), "redirects more than 5 times"),
    ],
)
def test_search_page_that_is_none_says_so(
    site: Site, search: Search, page: Any, message: str
) -> None:
    add_api(site, [])
    site.documents["/search"] = page
    assert_fails(search, message)


def test_search_pages_in_a_circle_end(site: Site, search: Search) -> None:
    add_api(site, [])
    link = {"rel": "next", "href": f"{site.url}/search", "method": "POST", "body": {"token": "a"}}
    site.documents["/search"] = {"features": make_items(3), "links": [link]}
    assert_fails(search, "gives the same page again and again")


def test_search_server_that_is_busy_is_tried_again(
    site: Site, search: Search, waits: list[float]
) -> None:
    add_api(site, make_items(2))
    page = site.documents["/search"]
    left = [Answer(503, headers={"Retry-After": "3600"}), Answer(500)]
    site.documents["/search"] = lambda request: (
        left.pop() if left else page(request)  # type: ignore[operator]
    )
    assert len(search()) == 2
    assert len(waits) == 2
    assert max(waits) == server_module.MAX_WAIT_S


def test_search_server_that_stays_busy_is_given_up(
    site: Site, search: Search, waits: list[float]
) -> None:
    site.documents["/"] = Answer(502)
    assert_fails(search, r"HTTP 502 Bad Gateway \(3 attempts\)")
    assert len(site.requests) == 3
    assert len(waits) == 2


@pytest.mark.parametrize(
    "answer", [Answer(wait_s=1.5), Answer(body=b" " * 1000 + b"{}", drip_s=0.1)]
)
def test_search_server_that_is_silent_or_drips_times_out(
    site: Site, search: Search, answer: Answer
) -> None:
    site.documents["/"] = answer
    assert_fails(search, r"does not answer within 1 s \(3 attempts\)")


def test_search_endless_answer_is_refused(
    site: Site, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_ANSWER_BYTES", 1 << 20)
    site.documents["/"] = Answer(body=b" " * (3 << 20))
    assert_fails(search, "more than 1 MiB")


def test_search_nobody_there_says_so(config: SourceConfig) -> None:
    nowhere = replace(config, location="http://127.0.0.1:9")
    collection = ApiCollection(nowhere, JsonServer(nowhere, sleep=lambda _: None))
    assert_fails(lambda: list(collection.search()), r"cannot be reached: .*refused")


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (Credentials(token="API_TOKEN"), "Bearer secret-token"),
        (Credentials(user="API_USER", password="API_TOKEN"), "Basic bWU6c2VjcmV0LXRva2Vu"),
    ],
)
def test_search_credentials_go_to_the_own_server_only(
    site: Site,
    config: SourceConfig,
    monkeypatch: pytest.MonkeyPatch,
    credentials: Credentials,
    header: str,
) -> None:
    monkeypatch.setenv("API_TOKEN", "secret-token")
    monkeypatch.setenv("API_USER", "me")
    with serve_site() as other:
        add_api(site, make_items(5))
        other.documents["/search"] = {"features": make_items(9)[8:], "links": []}
        first = site.documents["/search"]

        def lead_away(request: Request) -> Any:
            page = first(request)  # type: ignore[operator]
            page["links"] = [{"rel": "next", "href": f"{other.url}/search"}]
            return page

        site.documents["/search"] = lead_away
        assert len(list(open_collection(replace(config, credentials=credentials)).search())) == 5
        assert {request.headers["Authorization"] for request in site.requests} == {header}
        assert ["Authorization" in request.headers for request in other.requests] == [False]


def test_search_refused_credentials_are_not_shown(
    site: Site, config: SourceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "secret-token")
    site.documents["/"] = Answer(401)
    with_token = replace(config, credentials=Credentials(token="API_TOKEN"))
    with pytest.raises(SourceError, match=r"HTTP 401 .*check its credentials") as caught:
        list(open_collection(with_token).search())
    assert "secret" not in str(caught.value)


def test_open_collection_missing_variable_is_named(config: SourceConfig) -> None:
    with pytest.raises(SourceError, match="source api needs the environment variable API_TOKEN"):
        open_collection(replace(config, credentials=Credentials(token="API_TOKEN")))
